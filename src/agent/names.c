/* names - see names.h. Files are written in place: in a container each may be a mount of its own. */
#include "names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/log.h"

#define FILE_MAX_BYTES (1024 * 1024)

static void read_into(struct buf *b, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *room;
	ssize_t n;

	while (fd >= 0 && (room = buf_reserve(b, 4096)) && (n = read(fd, room, 4096)) > 0)
		buf_commit(b, (size_t)n);
}

static void write_file(const char *etc, const char *name, struct buf *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", etc, name);
	AUTO_CLOSE int fd = -1;
	bool whole = false;

	if (mkdir(etc, 0755) < 0 && errno != EEXIST)
		log_warn("folder cannot be made", "path=%s error=\"%s\"", etc, strerror(errno));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0)
		whole = write(fd, buf_head(text), text->len) == (ssize_t)text->len;
	if (!whole)
		log_warn("file cannot be written", "path=%s error=\"%s\"", path, strerror(errno));
	buf_release(text);
}

/* ---- host name and hosts ------------------------------------------------------------------------ */

/* The address others would reach us at, as dockerd writes it; a network of our own need not exist. */
static void own_address(char out[INET_ADDRSTRLEN])
{
	struct ifaddrs *all, *i;
	const char *found = NULL;

	if (getifaddrs(&all) < 0)
		all = NULL;
	for (i = all; i && !found; i = i->ifa_next) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)i->ifa_addr;

		if (in && in->sin_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK))
			found = inet_ntop(AF_INET, &in->sin_addr, out, INET_ADDRSTRLEN);
	}
	if (all)
		freeifaddrs(all);
	if (!found)
		memcpy(out, "127.0.0.1", sizeof("127.0.0.1"));
}

/* "name:ip", where the ip may be IPv6, in brackets or not. */
static void add_host(struct buf *b, const char *entry)
{
	const char *colon = strchr(entry, ':');
	size_t len;

	if (!colon || colon == entry || !colon[1]) {
		log_warn("extraHosts: not name:ip", "entry=\"%.128s\"", entry);
		return;
	}
	len = strlen(colon + 1);
	if (colon[1] == '[' && colon[len] == ']')
		buf_printf(b, "%.*s\t%.*s\n", (int)(len - 2), colon + 2, (int)(colon - entry), entry);
	else
		buf_printf(b, "%s\t%.*s\n", colon + 1, (int)(colon - entry), entry);
}

static void write_hosts(const struct names *n, const char *etc)
{
	AUTO_FREE char *path = xasprintf("%s/hosts", etc);
	char address[INET_ADDRSTRLEN];
	struct buf b;

	buf_init(&b, FILE_MAX_BYTES);
	read_into(&b, path);
	if (b.len && buf_head(&b)[b.len - 1] != '\n')
		buf_append(&b, "\n", 1);
	for (size_t i = 0; i < n->extra_hosts.n; i++)
		add_host(&b, n->extra_hosts.v[i]);
	if (n->hostname) {
		own_address(address);
		if (n->domainname)
			buf_printf(&b, "%s\t%s.%s %s\n", address, n->hostname, n->domainname, n->hostname);
		else
			buf_printf(&b, "%s\t%s\n", address, n->hostname);
	}
	write_file(etc, "hosts", &b);
}

static void set_hostname(const struct names *n, const char *etc)
{
	struct buf b;

	/* Not every container may: the files say it all the same. */
	if (sethostname(n->hostname, strlen(n->hostname)) < 0)
		log_info("host name cannot be set", "error=\"%s\"", strerror(errno));
	if (n->domainname && setdomainname(n->domainname, strlen(n->domainname)) < 0)
		log_info("domain name cannot be set", "error=\"%s\"", strerror(errno));
	buf_init(&b, FILE_MAX_BYTES);
	buf_printf(&b, "%s\n", n->hostname);
	write_file(etc, "hostname", &b);
}

/* ---- resolv.conf -------------------------------------------------------------------------------- */

/* What a file says behind a keyword, word by word; the last line counts, but for nameservers all. */
static void words_of(char *text, const char *keyword, struct strv *ret)
{
	bool all = strcmp(keyword, "nameserver") == 0;
	char *line, *word;

	while ((line = strsep(&text, "\n"))) {
		word = strsep(&line, " \t");
		if (strcmp(word, keyword) != 0)
			continue;
		if (!all)
			strv_release(ret);
		while ((word = strsep(&line, " \t")))
			if (*word)
				strv_add(ret, word);
	}
}

static void choose(const struct strv *given, const char *file, const char *keyword, struct strv *ret)
{
	AUTO_FREE char *copy = xstrdup(file);

	if (given->n)
		strv_copy(ret, given);
	else
		words_of(copy, keyword, ret);
}

static void add_line(struct buf *b, const char *keyword, const struct strv *words)
{
	if (words->n == 0)
		return;
	buf_printf(b, "%s", keyword);
	for (size_t i = 0; i < words->n; i++)
		buf_printf(b, " %s", words->v[i]);
	buf_printf(b, "\n");
}

/* What is not given stays as the file has it. A search of "." is none, as in dockerd. */
static void write_resolv_conf(const struct names *n, const char *etc)
{
	AUTO_FREE char *path = xasprintf("%s/resolv.conf", etc);
	AUTO_FREE char *old = NULL;
	struct strv servers = {0}, search = {0}, options = {0};
	struct buf b;

	buf_init(&b, FILE_MAX_BYTES);
	read_into(&b, path);
	old = buf_detach(&b, NULL);
	choose(&n->dns, old, "nameserver", &servers);
	choose(&n->dns_search, old, "search", &search);
	choose(&n->dns_options, old, "options", &options);
	if (search.n != 1 || strcmp(search.v[0], ".") != 0)
		add_line(&b, "search", &search);
	for (size_t i = 0; i < servers.n; i++)
		buf_printf(&b, "nameserver %s\n", servers.v[i]);
	add_line(&b, "options", &options);
	write_file(etc, "resolv.conf", &b);
	strv_release(&servers);
	strv_release(&search);
	strv_release(&options);
}

/* ---- API ---------------------------------------------------------------------------------------- */

void names_apply(const struct names *n, const char *etc)
{
	if (n->hostname)
		set_hostname(n, etc);
	if (n->hostname || n->extra_hosts.n)
		write_hosts(n, etc);
	if (n->dns.n || n->dns_search.n || n->dns_options.n)
		write_resolv_conf(n, etc);
}

void names_release(struct names *n)
{
	free(n->hostname);
	free(n->domainname);
	strv_release(&n->extra_hosts);
	strv_release(&n->dns);
	strv_release(&n->dns_search);
	strv_release(&n->dns_options);
}
