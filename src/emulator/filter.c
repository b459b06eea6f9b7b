/* filter - a recursive descent parser into a small tree; see filter.h.
 *
 *   or   := and { OR and }            comparison := path op ( value | '(' values ')' )
 *   and  := unary { [AND] unary }     values     := values of the same path joined by AND, OR, NOT
 *   unary:= [NOT | '-'] ( '(' or ')' | comparison )
 */
#include "filter.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"

#define DEPTH_MAX 32

enum op { EQ, NE, HAS, GT, GE, LT, LE };
enum node_kind { AND, OR, NOT, COMPARE };

struct node {
	enum node_kind kind;
	struct node *a, *b;
	/* COMPARE */
	struct filter_path path;
	enum op op;
	char *value;
	int64_t time_ns;     /* of value, if is_time */
	bool is_time, is_severity;
};

struct filter {
	struct node *root; /* NULL matches everything */
	const struct filter_ops *ops;
	int64_t min_ns, max_ns;
};

enum token { END, LPAREN, RPAREN, DOT, OPERATOR, WORD, STRING, MINUS, BAD };

struct parser {
	const char *at;
	enum token token;
	char *text;          /* of WORD and STRING */
	enum op op;
	int depth;
	const struct filter_ops *ops;
	struct err *err;
};

static struct node *parse_or(struct parser *p, const struct node *shared);

static void path_release(struct filter_path *p)
{
	for (int i = 0; p->part[i]; i++)
		free(p->part[i]);
}

static void node_free(struct node *n)
{
	if (!n)
		return;
	node_free(n->a);
	node_free(n->b);
	path_release(&n->path);
	free(n->value);
	free(n);
}

static struct node *node_new(enum node_kind kind, struct node *a, struct node *b)
{
	struct node *n = xcalloc(1, sizeof *n);

	n->kind = kind;
	n->a = a;
	n->b = b;
	return n;
}

/* ---- tokens ---- */

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '/' || c == '%' || c == '+' ||
	       c == '*' || c == '@' || (c & 0x80);
}

static void lex_string(struct parser *p)
{
	char quote = *p->at++;
	char *out = p->text = xmalloc(strlen(p->at) + 1);

	while (*p->at && *p->at != quote) {
		if (*p->at == '\\' && p->at[1])
			p->at++;
		*out++ = *p->at++;
	}
	*out = 0;
	p->token = *p->at ? STRING : BAD;
	if (*p->at)
		p->at++;
}

static bool lex_operator(struct parser *p)
{
	static const struct { const char *text; enum op op; } ops[] = {
		{ "!=", NE }, { ">=", GE }, { "<=", LE }, { "=", EQ }, { ":", HAS }, { ">", GT }, { "<", LT },
	};

	if (!strncmp(p->at, "=~", 2) || !strncmp(p->at, "!~", 2))
		return false;
	for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
		if (!strncmp(p->at, ops[i].text, strlen(ops[i].text))) {
			p->at += strlen(ops[i].text);
			p->op = ops[i].op;
			return true;
		}
	return false;
}

static void next(struct parser *p)
{
	free(p->text);
	p->text = NULL;
	for (;;) {
		while (isspace((unsigned char)*p->at))
			p->at++;
		if (strncmp(p->at, "--", 2))
			break;
		p->at += strcspn(p->at, "\n"); /* a comment */
	}
	if (!*p->at)
		p->token = END;
	else if (*p->at == '(')
		p->at++, p->token = LPAREN;
	else if (*p->at == ')')
		p->at++, p->token = RPAREN;
	else if (*p->at == '.')
		p->at++, p->token = DOT;
	else if (*p->at == '-' && !isdigit((unsigned char)p->at[1]))
		p->at++, p->token = MINUS;
	else if (*p->at == '"' || *p->at == '\'')
		lex_string(p);
	else if (lex_operator(p))
		p->token = OPERATOR;
	else if (is_word_char(*p->at)) {
		const char *from = p->at;
		while (is_word_char(*p->at))
			p->at++;
		p->text = xstrndup(from, (size_t)(p->at - from));
		p->token = WORD;
	} else
		p->token = BAD;
}

static bool at_word(const struct parser *p, const char *word)
{
	return p->token == WORD && !strcmp(p->text, word);
}

static struct node *unparsable(struct parser *p, const char *why)
{
	err_set(p->err, ERR_INVALID, "Unparseable filter: %s near '%.40s'", why,
		p->text ? p->text : p->at);
	return NULL;
}

/* ---- comparisons ---- */

int filter_severity_number(const char *name)
{
	static const char *const names[] = { "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR",
					     "CRITICAL", "ALERT", "EMERGENCY" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strcasecmp(name, names[i]))
			return (int)i * 100;
	return -1;
}

static bool path_is(const struct filter_path *p, const char *one)
{
	return !p->part[1] && !strcasecmp(p->part[0], one);
}

static struct node *compare(struct parser *p, const struct node *shared)
{
	struct node *n = node_new(COMPARE, NULL, NULL);

	for (int i = 0; shared->path.part[i]; i++)
		n->path.part[i] = xstrdup(shared->path.part[i]);
	n->path.field = shared->path.field;
	n->op = shared->op;
	n->value = xstrdup(p->text);
	if (path_is(&n->path, "timestamp") || path_is(&n->path, "receiveTimestamp")) {
		char day[CLOCK_RFC3339_MAX] = "";
		if (strlen(n->value) == 10) { /* a date alone means its first instant */
			memcpy(day, n->value, 10);
			memcpy(day + 10, "T00:00:00Z", 11);
		}
		n->is_time = true;
		if (clock_parse(*day ? day : n->value, &n->time_ns) < 0) {
			unparsable(p, "not a timestamp");
			goto fail;
		}
	} else if (path_is(&n->path, "severity")) {
		n->is_severity = true;
		if (filter_severity_number(n->value) < 0) {
			unparsable(p, "not a severity");
			goto fail;
		}
	}
	next(p);
	return n;
fail:
	node_free(n);
	return NULL;
}

/* Unquoted values run over dots: 2025-01-15T15:48:06.7Z, 1.5 */
static void extend_value(struct parser *p)
{
	const char *from = p->at - strlen(p->text);

	while (is_word_char(*p->at) || *p->at == '.' || (*p->at == ':' && p->at[1] != '='))
		p->at++;
	free(p->text);
	p->text = xstrndup(from, (size_t)(p->at - from));
}

static struct node *parse_parenthesis(struct parser *p, const struct node *shared)
{
	struct node *n;

	next(p);
	n = parse_or(p, shared);
	if (n && p->token != RPAREN) {
		node_free(n);
		return unparsable(p, "a closing parenthesis is missing");
	}
	if (n)
		next(p);
	return n;
}

static struct node *parse_value(struct parser *p, const struct node *shared)
{
	if (p->token == WORD)
		extend_value(p);
	if (p->token == WORD || p->token == STRING)
		return compare(p, shared);
	if (p->token != LPAREN)
		return unparsable(p, "a value is missing");
	return parse_parenthesis(p, shared);
}

static bool parse_path(struct parser *p, struct filter_path *path)
{
	int n = 0;

	for (;;) {
		if ((p->token != WORD && p->token != STRING) || n == FILTER_PATH_PARTS)
			return false;
		path->part[n++] = xstrdup(p->text);
		next(p);
		if (p->token != DOT)
			return true;
		next(p);
	}
}

static struct node *parse_comparison(struct parser *p)
{
	struct node shared = { .kind = COMPARE };
	struct node *n = NULL;

	if (!parse_path(p, &shared.path))
		unparsable(p, "a field name is missing");
	else if (p->token != OPERATOR)
		unparsable(p, "only comparisons of a field are understood (= != : > >= < <=)");
	else {
		shared.op = p->op;
		if (p->ops->resolve)
			shared.path.field = p->ops->resolve(&shared.path);
		next(p);
		n = parse_value(p, &shared);
	}
	path_release(&shared.path);
	return n;
}

/* shared: inside field=( ... ), where a word or string is a value of that field. */
static struct node *parse_unary(struct parser *p, const struct node *shared)
{
	struct node *n;

	if (at_word(p, "NOT") || p->token == MINUS) {
		next(p);
		if (++p->depth > DEPTH_MAX)
			return unparsable(p, "nested too deep");
		n = parse_unary(p, shared);
		p->depth--;
		return n ? node_new(NOT, n, NULL) : NULL;
	}
	if (p->token == LPAREN && !shared)
		return parse_parenthesis(p, NULL);
	return shared ? parse_value(p, shared) : parse_comparison(p);
}

static struct node *parse_and(struct parser *p, const struct node *shared)
{
	struct node *n = parse_unary(p, shared), *m;

	while (n && p->token != END && p->token != RPAREN && !at_word(p, "OR")) {
		if (at_word(p, "AND"))
			next(p);
		m = parse_unary(p, shared);
		if (!m)
			node_free(n);
		n = m ? node_new(AND, n, m) : NULL;
	}
	return n;
}

static struct node *parse_or(struct parser *p, const struct node *shared)
{
	if (++p->depth > DEPTH_MAX)
		return unparsable(p, "nested too deep");
	struct node *n = parse_and(p, shared), *m;

	while (n && at_word(p, "OR")) {
		next(p);
		m = parse_and(p, shared);
		if (!m)
			node_free(n);
		n = m ? node_new(OR, n, m) : NULL;
	}
	p->depth--;
	return n;
}

/* ---- matching ---- */

static bool ordered(enum op op, int cmp)
{
	switch (op) {
	case EQ: case HAS: return cmp == 0;
	case NE: return cmp != 0;
	case GT: return cmp > 0;
	case GE: return cmp >= 0;
	case LT: return cmp < 0;
	case LE: return cmp <= 0;
	}
	return false;
}

static bool match_compare(const struct filter *f, const struct node *n, void *entry)
{
	int64_t t;

	if (n->is_time && f->ops->get_time(entry, &n->path, &t))
		return ordered(n->op, (t > n->time_ns) - (t < n->time_ns));
	const char *v = f->ops->get(entry, &n->path);
	if (n->is_severity)
		return ordered(n->op, (v ? filter_severity_number(v) : 0) -
				      filter_severity_number(n->value));
	if (!v) /* a field that is missing differs from everything and satisfies nothing else */
		return n->op == NE;
	if (n->op == HAS)
		return !strcmp(n->value, "*") || strcasestr(v, n->value) != NULL;
	return ordered(n->op, strcasecmp(v, n->value));
}

static bool match(const struct filter *f, const struct node *n, void *entry)
{
	switch (n->kind) {
	case AND: return match(f, n->a, entry) && match(f, n->b, entry);
	case OR:  return match(f, n->a, entry) || match(f, n->b, entry);
	case NOT: return !match(f, n->a, entry);
	case COMPARE: return match_compare(f, n, entry);
	}
	return false;
}

/* Only what stands under ANDs bounds every match. */
static void find_bounds(struct filter *f, const struct node *n)
{
	if (n->kind == AND) {
		find_bounds(f, n->a);
		find_bounds(f, n->b);
	} else if (n->kind == COMPARE && path_is(&n->path, "timestamp")) {
		int64_t low = n->op == GT ? n->time_ns + 1 : n->time_ns;
		int64_t high = n->op == LT ? n->time_ns - 1 : n->time_ns;
		if ((n->op == GT || n->op == GE || n->op == EQ) && low > f->min_ns)
			f->min_ns = low;
		if ((n->op == LT || n->op == LE || n->op == EQ) && high < f->max_ns)
			f->max_ns = high;
	}
}

/* A million ANDs in a row would be a million frames deep, but the text has a maximum. */
struct filter *filter_new(const char *text, const struct filter_ops *ops, struct err *err)
{
	struct filter *f = xcalloc(1, sizeof *f);
	struct parser p = { .at = text, .ops = ops, .err = err };

	f->ops = ops;
	f->min_ns = INT64_MIN;
	f->max_ns = INT64_MAX;
	if (strlen(text) > FILTER_TEXT_MAX) {
		err_set(err, ERR_INVALID, "The filter is longer than %d characters", FILTER_TEXT_MAX);
		goto fail;
	}
	next(&p);
	if (p.token != END) {
		f->root = parse_or(&p, NULL);
		if (f->root && p.token != END) {
			unparsable(&p, "unexpected text");
			goto fail;
		}
		if (!f->root)
			goto fail;
		find_bounds(f, f->root);
	}
	free(p.text);
	return f;
fail:
	free(p.text);
	filter_free(f);
	return NULL;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	node_free(f->root);
	free(f);
}

bool filter_match(const struct filter *f, void *entry)
{
	return !f->root || match(f, f->root, entry);
}

int64_t filter_min_time(const struct filter *f)
{
	return f->min_ns;
}

int64_t filter_max_time(const struct filter *f)
{
	return f->max_ns;
}
