/* config_help - the table as people read it: --help, and the man page docs/sockerless-gateway.8 (`make man`), which
 * a unit test compares with what is printed here. */
#include <stdbool.h>
#include <string.h>

#include "config_settings.h"

#define WIDTH 84

static void print_wrapped(FILE *f, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column && column + 1 + n > WIDTH)
			column = 0;
		if (column == 0)
			fprintf(f, "\n      ");
		else
			column++, fputc(' ', f);
		fwrite(text, 1, n, f);
		column += n;
		text += n + strspn(text + n, " ");
	}
}

void config_print_help(FILE *f)
{
	fprintf(f, "usage: sockerless-gateway [flags]\n\n"
		"Serves the Docker Engine API and runs every container as a Cloud Run job.\n"
		"Settings come from the environment; a flag wins over its variable.\n");
	for (size_t i = 0; i < config_settings_n; i++) {
		const struct setting *s = &config_settings[i];

		if (s->kind == SECTION) {
			fprintf(f, "\n%s:", s->help);
			continue;
		}
		fprintf(f, "\n  ");
		if (s->flag)
			fprintf(f, "--%s%s%s", s->flag, s->value ? " " : "", s->value ? s->value : "");
		if (s->env)
			fprintf(f, "%s%s=%s", s->flag ? ", " : "", s->env, s->value ? s->value : "1");
		print_wrapped(f, s->help);
		if (s->def)
			fprintf(f, " (default %s)", s->def);
		if (i + 1 < config_settings_n && config_settings[i + 1].kind == SECTION)
			fputc('\n', f);
	}
	fprintf(f, "\n\n  --help, --version\n");
}

/* ---- the man page ------------------------------------------------------------------------------ */

/* Text for troff: no hyphens where minuses are meant, no line that could be a request. */
static void put(FILE *f, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '-')
			fputs("\\-", f);
		else if (*p == '\\')
			fputs("\\e", f);
		else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
			fprintf(f, "\\&%c", *p);
		else
			fputc(*p, f);
	}
}

static void put_tagged(FILE *f, const char *font, const char *text)
{
	fprintf(f, "\\f%s", font);
	put(f, text);
	fputs("\\fR", f);
}

static void put_setting(FILE *f, const struct setting *s)
{
	fputs(".TP\n", f);
	if (s->flag) {
		put_tagged(f, "B", "--");
		put_tagged(f, "B", s->flag);
		if (s->value) {
			fputc(' ', f);
			put_tagged(f, "I", s->value);
		}
	}
	if (s->env) {
		fputs(s->flag ? ", " : "", f);
		put_tagged(f, "B", s->env);
		fputc('=', f);
		put_tagged(f, "I", s->value ? s->value : "1");
	}
	fputc('\n', f);
	put(f, s->help);
	fputc('\n', f);
	if (s->def) {
		fputs(".br\nDefault: ", f);
		put(f, s->def);
		fputc('\n', f);
	}
}

static void put_paragraphs(FILE *f, const char *heading, const char *text)
{
	fprintf(f, ".SH %s\n", heading);
	put(f, text);
	fputc('\n', f);
}

void config_print_man(FILE *f)
{
	fprintf(f, ".\\\" Made by `make man` from gateway/config_settings.c; change that.\n"
		".TH SOCKERLESS\\-GATEWAY 8 \"\" \"sockerless\\-gateway %s\" \"System administration\"\n", VERSION);
	put_paragraphs(f, "NAME", "sockerless-gateway - the Docker Engine API on Google Cloud Run");
	fputs(".SH SYNOPSIS\n.B sockerless\\-gateway\n[\\fIflags\\fR]\n", f);
	put_paragraphs(f, "DESCRIPTION", "Serves the Docker Engine API and runs every container as a Cloud Run job. "
		       "Settings come from the environment; a flag wins over its variable, an empty variable counts as unset. "
		       "A value that makes no sense is refused at the start, with the variable, the value and the rule.");
	fputs(".SH SETTINGS\n", f);
	for (size_t i = 0; i < config_settings_n; i++) {
		const struct setting *s = &config_settings[i];

		if (s->kind == SECTION) {
			fputs(".SS ", f);
			put(f, s->help);
			fputc('\n', f);
		} else {
			put_setting(f, s);
		}
	}
	fputs(".SS Others\n.TP\n\\fB\\-\\-help\\fR, \\fB\\-\\-version\\fR, \\fB\\-\\-man\\fR\n"
	      "Print all settings, the version, this page.\n", f);
	put_paragraphs(f, "EXIT STATUS", "0 after SIGTERM or SIGINT, 1 if it cannot start, 2 if a setting is refused.");
	fputs(".SH EXAMPLES\nOn one machine, with nothing of Google's:\n.PP\n.EX\n"
	      "    sockerless\\-gateway \\-\\-local \\-\\-addr /tmp/docker.sock\n"
	      "    docker \\-H unix:///tmp/docker.sock run \\-\\-rm busybox echo hello\n.EE\n", f);
	fputs(".SH SEE ALSO\n.BR docker (1),\n.BR dockerd (8),\n.BR gcloud (1)\n", f);
}
