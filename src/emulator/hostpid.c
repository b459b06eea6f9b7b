/* hostpid - see hostpid.h.   /proc/PID/status:  NSpid: <host's> <ours> <the container's> */
#include "hostpid.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"

pid_t hostpid_self(int host_proc)
{
	char link[32];
	ssize_t n = readlinkat(host_proc, "self", link, sizeof link - 1);
	int64_t pid;

	if (n <= 0)
		return 0;
	link[n] = 0;
	return parse_i64(link, &pid) == 0 ? (pid_t)pid : 0;
}

/* The numbers behind a label in a status file; how many. */
static int read_numbers(const char *text, const char *label, int out[4])
{
	const char *at = strstr(text, label);

	return at ? sscanf(at + strlen(label), "%d %d %d %d", &out[0], &out[1], &out[2], &out[3]) : 0;
}

static ssize_t read_status(int host_proc, const char *pid, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof path, "%.20s/status", pid);
	AUTO_CLOSE int fd = openat(host_proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n >= 0)
		text[n] = 0;
	return n;
}

pid_t hostpid_of(int host_proc, pid_t inner)
{
	pid_t self = hostpid_self(host_proc), found = 0;
	char text[4096];
	int ns[4], parent[4];
	int fd = openat(host_proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	/* A container's first process is our child, so the parent tells ours from another's. */
	for (struct dirent *d; dir && !found && (d = readdir(dir));)
		if (d->d_name[0] >= '1' && d->d_name[0] <= '9' &&
		    read_status(host_proc, d->d_name, text, sizeof text) > 0 &&
		    read_numbers(text, "\nNSpid:", ns) >= 2 && ns[1] == inner &&
		    read_numbers(text, "\nPPid:", parent) == 1 && parent[0] == self)
			found = ns[0];
	if (dir)
		closedir(dir);
	return found;
}
