/* secret_ref - see secret_ref.h. The rules of names are Secret Manager's. */
#include "state/secret_ref.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define NAME_MAX_LEN 255
#define VERSION_MAX_LEN 63
#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static bool is_word(const char *s, size_t n, size_t max)
{
	return n > 0 && n <= max && strspn(s, WORD) >= n;
}

/* The name itself, behind projects/PROJECT/secrets/ or not; NULL if the path is another. */
static const char *name_in(const char *text)
{
	static const char projects[] = "projects/", secrets[] = "/secrets/";
	size_t n = strlen(projects), project;

	if (strncmp(text, projects, n) != 0)
		return text;
	project = strcspn(text + n, "/:");
	if (project == 0 || strncmp(text + n + project, secrets, strlen(secrets)) != 0)
		return NULL;
	return text + n + project + strlen(secrets);
}

int secret_ref_parse(const char *text, struct secret_ref *ret)
{
	const char *name = name_in(text), *colon = name ? strchr(name, ':') : NULL;
	size_t len = !name ? 0 : colon ? (size_t)(colon - name) : strlen(name);

	if (!is_word(name, len, NAME_MAX_LEN) || (colon && !is_word(colon + 1, strlen(colon + 1), VERSION_MAX_LEN)))
		return -1;
	ret->secret = xstrndup(text, (size_t)(name + len - text));
	ret->version = xstrdup(colon ? colon + 1 : "latest");
	return 0;
}

void secret_ref_release(struct secret_ref *s)
{
	free(s->secret);
	free(s->version);
	*s = (struct secret_ref){0};
}
