/* config_settings - the table of every setting, and what each value has to pass. Inside the configuration only:
 * config.c loads by it, config_help.c prints it, config_check.c holds the rules. */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

#define CONFIG_DEFAULT_ADDR "unix:///var/run/sockerless.sock"
#define CONFIG_LABEL_MAX 63

struct setting;
/* 0 and the tidy form in *ret, or -1 and the variable, the value and the rule in err. */
typedef int check_fn(const struct setting *s, const char *value, char **ret, struct err *err);

enum setting_kind {
	STRING, DURATION, SIZE, LIST, FLAG, LEVEL,
	SECTION,                  /* a heading: only help */
	ELSEWHERE,                /* a variable that other modules read themselves: shown, and checked if it can be */
};

struct setting {
	const char *env, *flag;   /* either may be NULL */
	enum setting_kind kind;
	size_t offset;            /* into struct config */
	const char *def;          /* NULL: none, or worked out after loading */
	check_fn *check;          /* STRING, ELSEWHERE and each item of LIST */
	const char *choices;      /* check_choice: "a b c" */
	int64_t min_ms, max_ms;   /* DURATION */
	const char *value;        /* what --help calls the value */
	const char *help;
};
extern const struct setting config_settings[];
extern const size_t config_settings_n;

int config_refuse(const struct setting *s, const char *value, struct err *err, const char *rule);

check_fn check_name, check_instance, check_choice, check_token, check_absolute, check_ip, check_agent_address, check_listen,
	check_endpoint, check_callback, check_addr, check_cpu, check_memory, check_bucket, check_registry, check_resource,
	check_tags, check_account, check_log_id, check_image, check_file, check_folder, check_line;

/* config_file.c */
int config_read_file(const char *path, struct err *err);

#endif
