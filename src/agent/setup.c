/* setup - see setup.h. */
#include "setup.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"

#define MODES_MAX 64

static int read_modes(const json_t *list, struct setup *ret, struct err *err)
{
	const json_t *item;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > MODES_MAX)
		return err_set(err, ERR_INVALID, "\"modes\" is not a list of at most %d", MODES_MAX);
	ret->modes = xcalloc(json_array_size(list) + 1, sizeof(*ret->modes));
	json_array_foreach(list, i, item) {
		const char *path = json_string_value(json_object_get(item, "path"));
		const json_t *mode = json_object_get(item, "mode");

		if (!path || *path != '/' || !json_is_integer(mode) || json_integer_value(mode) & ~07777)
			return err_set(err, ERR_INVALID, "\"modes\" holds something else than paths and modes");
		ret->modes[ret->n_modes++] = (struct setup_mode){xstrdup(path), (mode_t)json_integer_value(mode)};
	}
	return 0;
}

/* -1, as Docker writes "unlimited". */
static rlim_t limit_of(const json_t *v)
{
	json_int_t n = json_integer_value(v);

	return n < 0 ? RLIM_INFINITY : (rlim_t)n;
}

int setup_read(const json_t *spec, struct setup *ret, struct err *err)
{
	const json_t *nofile = json_object_get(spec, "nofile");

	if (read_modes(json_object_get(spec, "modes"), ret, err) < 0)
		return -1;
	if (!nofile || json_is_null(nofile))
		return 0;
	if (!json_is_integer(json_object_get(nofile, "soft")) || !json_is_integer(json_object_get(nofile, "hard")))
		return err_set(err, ERR_INVALID, "\"nofile\" has no soft and hard limit");
	ret->limits_files = true;
	ret->files = (struct rlimit){limit_of(json_object_get(nofile, "soft")), limit_of(json_object_get(nofile, "hard"))};
	return 0;
}

void setup_apply(const struct setup *s)
{
	for (size_t i = 0; i < s->n_modes; i++)
		if (chmod(s->modes[i].path, s->modes[i].mode) < 0)
			log_warn("mode cannot be set", "path=%s mode=%o error=\"%s\"", s->modes[i].path,
				 (unsigned)s->modes[i].mode, strerror(errno));
}

struct rlimit setup_files(const struct setup *s, struct rlimit given)
{
	struct rlimit r = s->files;

	if (!s->limits_files)
		return given;
	if (r.rlim_max > given.rlim_max) {
		log_warn("the limit of open files is what the platform allows", "asked=%llu given=%llu",
			 (unsigned long long)r.rlim_max, (unsigned long long)given.rlim_max);
		r.rlim_max = given.rlim_max;
	}
	if (r.rlim_cur > r.rlim_max)
		r.rlim_cur = r.rlim_max;
	return r;
}

void setup_release(struct setup *s)
{
	for (size_t i = 0; i < s->n_modes; i++)
		free(s->modes[i].path);
	free(s->modes);
	*s = (struct setup){0};
}
