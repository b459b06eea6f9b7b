/* ps - see ps.h. Source: procps' manual page of ps, its behaviour in version 4. */
#include "api/ps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "state/doc.h"

#define TICKS 100
#define PAGE_KB 4
#define CELL_MAX 64
#define DAY 86400

enum kind {
	PID, PPID, PGID, SID, TPGID, UID, GID, USER, GROUP, COMM, ARGS, C_PERCENT, PCPU, PMEM, VSZ, RSS, SZ, STAT, STATE,
	TTY, NICE, PRI, PRI_LONG, THREADS, START, STIME, LSTART, ETIME, ETIMES, TIME, BSDTIME, TIMES, FLAGS, NONE, PSR,
};

static const struct specifier {
	const char *name, *header;
	enum kind kind;
} specifiers[] = {
	{"pid", "PID", PID}, {"tgid", "TGID", PID}, {"lwp", "LWP", PID}, {"spid", "SPID", PID}, {"tid", "TID", PID},
	{"ppid", "PPID", PPID}, {"pgid", "PGID", PGID}, {"pgrp", "PGRP", PGID}, {"sid", "SID", SID}, {"sess", "SESS", SID},
	{"session", "SESS", SID}, {"tpgid", "TPGID", TPGID}, {"uid", "UID", UID}, {"euid", "EUID", UID}, {"ruid", "RUID", UID},
	{"gid", "GID", GID}, {"egid", "EGID", GID}, {"rgid", "RGID", GID}, {"user", "USER", USER}, {"euser", "EUSER", USER},
	{"uname", "USER", USER}, {"ruser", "RUSER", USER}, {"group", "GROUP", GROUP}, {"egroup", "EGROUP", GROUP},
	{"rgroup", "RGROUP", GROUP}, {"comm", "COMMAND", COMM}, {"ucmd", "CMD", COMM}, {"ucomm", "COMMAND", COMM},
	{"fname", "COMMAND", COMM}, {"cmd", "CMD", ARGS}, {"args", "COMMAND", ARGS}, {"command", "COMMAND", ARGS},
	{"c", "C", C_PERCENT}, {"%cpu", "%CPU", PCPU}, {"pcpu", "%CPU", PCPU}, {"%mem", "%MEM", PMEM}, {"pmem", "%MEM", PMEM},
	{"vsz", "VSZ", VSZ}, {"vsize", "VSZ", VSZ}, {"rss", "RSS", RSS}, {"rssize", "RSS", RSS}, {"rsz", "RSZ", RSS},
	{"sz", "SZ", SZ}, {"size", "SIZE", VSZ}, {"stat", "STAT", STAT}, {"s", "S", STATE}, {"state", "S", STATE},
	{"tty", "TT", TTY}, {"tt", "TT", TTY}, {"tname", "TTY", TTY}, {"nice", "NI", NICE}, {"ni", "NI", NICE},
	{"pri", "PRI", PRI}, {"opri", "PRI", PRI_LONG}, {"priority", "PRI", PRI}, {"nlwp", "NLWP", THREADS},
	{"thcount", "THCNT", THREADS}, {"start", "STARTED", START}, {"stime", "STIME", STIME}, {"start_time", "START", STIME},
	{"bsdstart", "START", STIME}, {"lstart", "STARTED", LSTART}, {"etime", "ELAPSED", ETIME}, {"etimes", "ELAPSED", ETIMES},
	{"time", "TIME", TIME}, {"cputime", "TIME", TIME}, {"bsdtime", "TIME", BSDTIME}, {"times", "TIME", TIMES},
	{"cputimes", "TIME", TIMES}, {"f", "F", FLAGS}, {"flag", "F", FLAGS}, {"flags", "F", FLAGS}, {"wchan", "WCHAN", NONE},
	{"addr", "ADDR", NONE}, {"psr", "PSR", PSR}, {"cls", "CLS", NONE}, {"label", "LABEL", NONE},
};

/* The formats that have a letter, as specifiers; a header that is another one stands behind the '='. */
static const char format_plain[] = "pid tty=TTY time comm=CMD";
static const char format_full[] = "user=UID pid ppid c stime tty=TTY time cmd";
static const char format_extra[] = "user=UID pid ppid c sz rss psr stime tty=TTY time cmd";
static const char format_long[] = "f s uid pid ppid c opri ni addr sz wchan tty=TTY time comm=CMD";
static const char format_jobs[] = "pid pgid sid tty=TTY time comm=CMD";
static const char format_bsd[] = "pid tty=TTY stat bsdtime args";
static const char format_user[] = "user pid %cpu %mem vsz rss tty=TTY stat bsdstart bsdtime args";
static const char format_bsd_jobs[] = "ppid pid pgid sid tty=TTY tpgid stat uid bsdtime args";
static const char format_bsd_long[] = "f uid pid ppid pri ni vsz rss wchan stat tty=TTY bsdtime args";

/* ---- arguments ----------------------------------------------------------------------------------- */

struct parse {
	struct ps *ps;
	struct strv words;
	size_t next;
	const char *format;      /* one of the above, from a letter */
	bool user_format, bsd;
	struct err *err;
};

static int complain(struct parse *p, const char *what)
{
	return err_set(p->err, ERR_SYSTEM, "ps: error: %s", what);
}

static const struct specifier *find_specifier(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(specifiers) / sizeof(specifiers[0]); i++)
		if (strncmp(specifiers[i].name, name, n) == 0 && specifiers[i].name[n] == '\0')
			return &specifiers[i];
	return NULL;
}

static int add_column(struct parse *p, const char *name, size_t n, const char *header)
{
	const struct specifier *s = find_specifier(name, n);
	struct ps *ps = p->ps;

	if (!s)
		return err_set(p->err, ERR_SYSTEM, "ps: error: unknown user-defined format specifier \"%.*s\"", (int)n, name);
	if (ps->n == PS_COLUMNS_MAX)
		return complain(p, "too many columns");
	ps->columns[ps->n].what = (int)s->kind;
	ps->columns[ps->n++].header = xstrdup(header ? header : s->header);
	return 0;
}

/* "pid,user=WHO" */
static int add_list(struct parse *p, const char *list)
{
	p->user_format = true;
	while (*list) {
		size_t n = strcspn(list, ","), name = strcspn(list, ",=");
		AUTO_FREE char *header = list[name] == '=' ? xstrndup(list + name + 1, n - name - 1) : NULL;

		/* dockerd would take another column for the PIDs. */
		if (header && strncmp(header, "PID", 3) == 0 && strncmp(list, "pid=", 4) != 0)
			return err_set(p->err, ERR_SYSTEM, "specifying \"%.*s\" is not allowed", (int)n, list);
		if (name && add_column(p, list, name, header) < 0)
			return -1;
		list += n + (list[n] == ',');
	}
	return 0;
}

static int add_format(struct parse *p, const char *format)
{
	while (*format) {
		size_t n = strcspn(format, " "), name = strcspn(format, " =");
		AUTO_FREE char *header = format[name] == '=' ? xstrndup(format + name + 1, n - name - 1) : NULL;

		if (add_column(p, format, name, header) < 0)
			return -1;
		format += n + (format[n] == ' ');
	}
	return 0;
}

static void add_words(struct strv *to, const char *list)
{
	while (*list) {
		size_t n = strcspn(list, ", ");

		if (n)
			strv_take(to, xstrndup(list, n));
		list += n + (list[n] != '\0');
	}
}

/* Only the first key counts. */
static int set_sort(struct parse *p, const char *keys)
{
	const struct specifier *s;

	p->ps->descending = *keys == '-';
	keys += *keys == '-' || *keys == '+';
	s = find_specifier(keys, strcspn(keys, ","));
	if (!s)
		return complain(p, "unknown sort specifier");
	p->ps->sort = (int)s->kind;
	return 0;
}

/* What stands behind the letter in its word, or the next word. */
static const char *argument(struct parse *p, const char *rest)
{
	if (*rest)
		return rest;
	return p->next < p->words.n ? p->words.v[p->next++] : NULL;
}

static int take_list(struct parse *p, char letter, const char *list)
{
	switch (letter) {
	case 'o':
		return add_list(p, list);
	case 'O':
		if (add_column(p, "pid", 3, NULL) < 0 || add_list(p, list) < 0)
			return -1;
		return add_format(p, "state tty=TTY time args");
	case 'k':
		return set_sort(p, list);
	case 'C':
		add_words(&p->ps->names, list);
		return 0;
	case 'p':
	case 'q':
		add_words(&p->ps->pids, list);
		return 0;
	case 'u':
	case 'U':
		add_words(&p->ps->users, list);
		return 0;
	default:
		return 0; /* groups, sessions, terminals: all of the container */
	}
}

static int parse_bsd(struct parse *p, const char *word)
{
	p->bsd = true;
	for (; *word; word++) {
		if (strchr("oOkpqUt", *word)) {
			const char *list = argument(p, word + 1);

			if (!list)
				return complain(p, "list of process IDs must follow p"); /* or the like */
			return take_list(p, *word, list);
		}
		if (*word == 'u')
			p->format = format_user;
		else if (*word == 'j')
			p->format = format_bsd_jobs;
		else if (*word == 'l')
			p->format = format_bsd_long;
		else if (*word == 'h')
			p->ps->no_header = true;
		else if (!strchr("aAxrTegfcnSwHN", *word))
			return complain(p, "unsupported option (BSD syntax)");
	}
	return 0;
}

static int parse_sysv(struct parse *p, const char *word)
{
	/* "-aux" is what people write when they mean "aux". */
	if (word[strspn(word, "auxwefhjl")] == '\0' && strchr(word, 'u') && strchr(word, 'x'))
		return parse_bsd(p, word);
	for (; *word; word++) {
		if (strchr("oOkCpqUgGst", *word) || (*word == 'u' && (word[1] || p->next < p->words.n))) {
			const char *list = argument(p, word + 1);

			if (!list)
				return complain(p, "list of command names must follow -C"); /* or the like */
			return take_list(p, *word, list);
		}
		if (*word == 'u')
			p->format = format_user;
		else if (*word == 'f')
			p->format = p->format ? p->format : format_full;
		else if (*word == 'F')
			p->format = format_extra;
		else if (*word == 'l')
			p->format = format_long;
		else if (*word == 'j')
			p->format = format_jobs;
		else if (*word == 'x')
			p->bsd = true;
		else if (*word == 'L' || *word == 'T' || *word == 'm')
			return complain(p, "threads are not listed for containers on Cloud Run");
		else if (!strchr("AadeHNwcyPMZ", *word))
			return complain(p, "unsupported SysV option");
	}
	return 0;
}

static int parse_long(struct parse *p, const char *word)
{
	static const struct {
		const char *name;
		char letter;
	} with_value[] = {
		{"format", 'o'}, {"sort", 'k'}, {"pid", 'p'}, {"quick-pid", 'q'}, {"user", 'u'}, {"User", 'U'},
		{"group", 'g'}, {"Group", 'g'}, {"sid", 's'}, {"tty", 't'}, {"cols", 'w'}, {"columns", 'w'}, {"width", 'w'},
		{"rows", 'w'}, {"lines", 'w'},
	};
	static const char *const plain[] = {"forest", "cumulative", "headers", "deselect"};
	size_t n = strcspn(word, "=");

	if (strcmp(word, "no-headers") == 0 || strcmp(word, "no-heading") == 0 || strcmp(word, "noheaders") == 0 ||
	    strcmp(word, "noheading") == 0) {
		p->ps->no_header = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++)
		if (strlen(with_value[i].name) == n && strncmp(with_value[i].name, word, n) == 0) {
			const char *list = argument(p, word + n + (word[n] == '='));

			return list ? take_list(p, with_value[i].letter, list) : complain(p, "improper list");
		}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(word, plain[i]) == 0)
			return 0;
	return complain(p, "unknown gnu long option");
}

static int parse_words(struct parse *p)
{
	while (p->next < p->words.n) {
		const char *word = p->words.v[p->next++];
		int rc;

		if (strncmp(word, "--", 2) == 0)
			rc = parse_long(p, word + 2);
		else if (*word == '-')
			rc = parse_sysv(p, word + 1);
		else if (*word >= '0' && *word <= '9')
			rc = take_list(p, 'p', word);
		else
			rc = parse_bsd(p, word);
		if (rc < 0)
			return -1;
	}
	if (p->user_format && p->format)
		return complain(p, "conflicting format options");
	if (p->user_format)
		return 0;
	return add_format(p, p->format ? p->format : p->bsd ? format_bsd : format_plain);
}

/* As dockerd looks for it: by its title. */
static int check_pid(const struct ps *ps, struct err *err)
{
	for (size_t i = 0; i < ps->n && !ps->no_header; i++)
		if (strcmp(ps->columns[i].header, "PID") == 0)
			return 0;
	return err_set(err, ERR_SYSTEM, "Couldn't find PID field in ps output");
}

int ps_parse(struct ps *ret, const char *args, struct err *err)
{
	struct parse p = {.ps = ret, .err = err};
	int rc;

	*ret = (struct ps){.sort = -1};
	while (*args) {
		size_t n = strcspn(args, " \t\n");

		if (n)
			strv_take(&p.words, xstrndup(args, n));
		args += n + (args[n] != '\0');
	}
	if (p.words.n == 0)
		strv_add(&p.words, "-ef");
	rc = parse_words(&p);
	strv_release(&p.words);
	return rc < 0 ? -1 : check_pid(ret, err);
}

void ps_release(struct ps *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		free(ps->columns[i].header);
	strv_release(&ps->pids);
	strv_release(&ps->names);
	strv_release(&ps->users);
}

/* ---- cells --------------------------------------------------------------------------------------- */

static double number_of(json_t *row, const char *key)
{
	return json_number_value(json_object_get(row, key));
}

static int64_t cpu_seconds(json_t *row)
{
	return (doc_int(row, "utime_ticks") + doc_int(row, "stime_ticks")) / TICKS;
}

static void format_time(char out[CELL_MAX], const char *format, int64_t at_s)
{
	time_t t = (time_t)at_s;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, CELL_MAX, format, &tm);
}

/* Today by the clock, this year by the day, else the year. */
static void stime(char out[CELL_MAX], int64_t at_s, int64_t now_s)
{
	time_t t = (time_t)at_s, n = (time_t)now_s;
	struct tm then, now;

	localtime_r(&t, &then);
	localtime_r(&n, &now);
	strftime(out, CELL_MAX, then.tm_year != now.tm_year ? "%Y" : then.tm_yday != now.tm_yday ? "%b%d" : "%H:%M", &then);
}

static void elapsed(char out[CELL_MAX], int64_t s, bool always_hours)
{
	int d = (int)(s / DAY), h = (int)(s / 3600 % 24), m = (int)(s / 60 % 60), sec = (int)(s % 60);

	if (d)
		snprintf(out, CELL_MAX, "%d-%02d:%02d:%02d", d, h, m, sec);
	else if (h || always_hours)
		snprintf(out, CELL_MAX, "%02d:%02d:%02d", h, m, sec);
	else
		snprintf(out, CELL_MAX, "%02d:%02d", m, sec);
}

static const char *text_of(json_t *row, const char *key, const char *otherwise)
{
	const char *s = doc_str(row, key);

	return s && *s ? s : otherwise;
}

static json_t *text_cell(json_t *row, enum kind kind)
{
	const char *comm = text_of(row, "comm", "?");

	switch (kind) {
	case USER:
		return json_string(text_of(row, "user", "?"));
	case GROUP:
		return json_string(text_of(row, "group", "?"));
	case COMM:
		return json_string(comm);
	case ARGS: /* a kernel's or a zombie's has none */
		return *text_of(row, "args", "") ? json_string(doc_str(row, "args")) : json_sprintf("[%s]", comm);
	case TTY:
		return json_string(text_of(row, "tty", "?"));
	case PSR:
		return json_string("0");
	default:
		return json_string("-");
	}
}

static const char *number_key(enum kind kind)
{
	static const char *const keys[] = {
		[PID] = "pid", [PPID] = "ppid", [PGID] = "pgid", [SID] = "sid", [TPGID] = "tpgid", [UID] = "uid", [GID] = "gid",
		[VSZ] = "vsz_kb", [RSS] = "rss_kb", [NICE] = "nice", [THREADS] = "threads",
	};

	return (size_t)kind < sizeof(keys) / sizeof(keys[0]) ? keys[kind] : NULL;
}

static bool format_number(char out[CELL_MAX], json_t *row, enum kind kind, int64_t now_s)
{
	int64_t start = doc_int(row, "start_unix"), cpu = cpu_seconds(row), age = now_s > start ? now_s - start : 0;

	switch (kind) {
	case C_PERCENT:
		return snprintf(out, CELL_MAX, "%d", (int)number_of(row, "pcpu")) > 0;
	case PCPU:
		return snprintf(out, CELL_MAX, "%.1f", number_of(row, "pcpu")) > 0;
	case PMEM:
		return snprintf(out, CELL_MAX, "%.1f", number_of(row, "pmem")) > 0;
	case SZ:
		return snprintf(out, CELL_MAX, "%lld", (long long)doc_int(row, "vsz_kb") / PAGE_KB) > 0;
	case PRI:
		return snprintf(out, CELL_MAX, "%lld", 19 - (long long)doc_int(row, "nice")) > 0;
	case PRI_LONG:
		return snprintf(out, CELL_MAX, "%lld", 80 + (long long)doc_int(row, "nice")) > 0;
	case ETIMES:
		return snprintf(out, CELL_MAX, "%lld", (long long)age) > 0;
	case TIMES:
		return snprintf(out, CELL_MAX, "%lld", (long long)cpu) > 0;
	case BSDTIME:
		return snprintf(out, CELL_MAX, "%lld:%02d", (long long)(cpu / 60), (int)(cpu % 60)) > 0;
	case FLAGS:
		return snprintf(out, CELL_MAX, "%d", 4) > 0;
	case ETIME:
		return elapsed(out, age, false), true;
	case TIME:
		return elapsed(out, cpu, true), true;
	case STIME:
		return stime(out, start, now_s), true;
	case START:
		return format_time(out, age > DAY ? "%b %d" : "%H:%M:%S", start), true;
	case LSTART:
		return format_time(out, "%a %b %e %H:%M:%S %Y", start), true;
	case STAT:
		return snprintf(out, CELL_MAX, "%s", text_of(row, "stat", text_of(row, "state", "?"))) > 0;
	case STATE:
		return snprintf(out, CELL_MAX, "%.1s", text_of(row, "state", "?")) > 0;
	default:
		if (!number_key(kind))
			return false;
		return snprintf(out, CELL_MAX, "%lld", (long long)doc_int(row, number_key(kind))) > 0;
	}
}

static json_t *cell(json_t *row, enum kind kind, int64_t now_s)
{
	char text[CELL_MAX];

	return format_number(text, row, kind, now_s) ? json_string(text) : text_cell(row, kind);
}

/* ---- rows ---------------------------------------------------------------------------------------- */

static bool listed(const struct strv *list, const char *value)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], value) == 0)
			return true;
	return false;
}

static bool selected(const struct ps *ps, json_t *row)
{
	char pid[CELL_MAX], uid[CELL_MAX];

	if (ps->pids.n == 0 && ps->names.n == 0 && ps->users.n == 0)
		return true;
	snprintf(pid, sizeof(pid), "%lld", (long long)doc_int(row, "pid"));
	snprintf(uid, sizeof(uid), "%lld", (long long)doc_int(row, "uid"));
	return listed(&ps->pids, pid) || listed(&ps->names, text_of(row, "comm", "")) || listed(&ps->users, uid) ||
	       listed(&ps->users, text_of(row, "user", ""));
}

static double sort_value(json_t *row, enum kind kind)
{
	switch (kind) {
	case C_PERCENT:
	case PCPU:
		return number_of(row, "pcpu");
	case PMEM:
		return number_of(row, "pmem");
	case SZ:
		return number_of(row, "vsz_kb");
	case TIME:
	case BSDTIME:
	case TIMES:
		return (double)cpu_seconds(row);
	case START:
	case STIME:
	case LSTART:
		return number_of(row, "start_unix");
	case ETIME:
	case ETIMES:
		return -number_of(row, "start_unix");
	default:
		return number_key(kind) ? number_of(row, number_key(kind)) : 0;
	}
}

static int compare(const void *a, const void *b, void *ctx)
{
	json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	const struct ps *ps = ctx;
	double diff = 0;

	if (ps->sort == COMM || ps->sort == ARGS || ps->sort == USER || ps->sort == GROUP) {
		const char *key = ps->sort == COMM ? "comm" : ps->sort == ARGS ? "args" : ps->sort == USER ? "user" : "group";

		diff = strcmp(text_of(x, key, ""), text_of(y, key, ""));
	} else if (ps->sort >= 0) {
		diff = sort_value(x, (enum kind)ps->sort) - sort_value(y, (enum kind)ps->sort);
	}
	if (diff != 0)
		return (diff > 0 ? 1 : -1) * (ps->descending ? -1 : 1);
	diff = number_of(x, "pid") - number_of(y, "pid");
	return (diff > 0) - (diff < 0);
}

json_t *ps_table(const struct ps *ps, json_t *processes, int64_t now_s)
{
	json_t *titles = json_array(), *rows = json_array(), **sorted, *row;
	size_t n = json_array_size(processes), i;

	for (i = 0; i < ps->n; i++)
		json_array_append_new(titles, doc_text(ps->columns[i].header));
	sorted = xcalloc(n + 1, sizeof(json_t *));
	json_array_foreach(processes, i, row)
		sorted[i] = row;
	qsort_r(sorted, n, sizeof(json_t *), compare, (void *)ps);
	for (i = 0; i < n; i++) {
		json_t *cells;

		if (!selected(ps, sorted[i]))
			continue;
		cells = json_array();
		for (size_t k = 0; k < ps->n; k++)
			json_array_append_new(cells, cell(sorted[i], (enum kind)ps->columns[k].what, now_s));
		json_array_append_new(rows, cells);
	}
	free(sorted);
	if (json_array_size(rows) == 0) {
		json_decref(rows);
		rows = json_null();
	}
	return json_pack("{s:o, s:o}", "Titles", titles, "Processes", rows);
}
