/* log - one line per decision, on stderr: time, level, what happened, key=value fields.
 * Only whoever decides what happens next logs, and once. Never tokens, environment values or
 * terminal bytes. error = someone must act, warn = we coped (say how), info = a life-cycle step. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(const char *program, enum log_level level);
/* From here on each line is a JSON object {"<mark>":{"level":…},"severity":…,"message":…}: for a log
 * shared with others, whose readers must tell our lines apart. mark is borrowed for ever. */
void log_as_json(const char *mark);
int log_level_parse(const char *name, enum log_level *ret_level); /* "error" ... "debug" */
/* fields is a printf format of key=value pairs, or "" */
void log_line(enum log_level level, const char *what, const char *fields, ...)
	__attribute__((format(printf, 3, 4)));
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
