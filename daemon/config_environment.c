/* SPDX-License-Identifier: Apache-2.0 */
/* The variables of the environment: what they set, and what is odd about them. */
#include <stdio.h>

#include "config_parts.h"
#include "log.h"
#include "nearest.h"

/* Of Dynamo's and our own variables, those that are meant for such a daemon. */
static const char *const prefixes[] = { "DYN_SYSTEM_", "DYN_METRICSD_" };

const char *
config_variable(char *const *environment, const char *name)
{
	size_t n = strlen(name);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
			return (*environment)[n + 1] ? *environment + n + 1 : NULL;
	return NULL;
}

int
config_read_environment(
    struct config *c, char *const *environment, struct config_error *e)
{
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];
		const char *value;

		value =
		    k->environment ? config_variable(environment, k->environment) : NULL;
		if (value && config_set_text(c, k, value, k->environment, e) != 0)
			return -1;
	}
	return 0;
}

bool
config_given(const struct config *c, char *const *environment, const char *path,
    char name[CONFIG_NAME_BYTES])
{
	const struct config_key *k = config_find(path);
	struct config normal = { 0 };
	struct config_error e = { 0 };
	bool given;

	if (k->environment && config_variable(environment, k->environment)) {
		snprintf(name, CONFIG_NAME_BYTES, "%s", k->environment);
		return true;
	}
	snprintf(name, CONFIG_NAME_BYTES, "%s", path);
	given = config_set_text(&normal, k, k->normal, "a default", &e) == 0 &&
		!config_equal(k, c, &normal);
	config_free_value(&normal, k);
	return given;
}

/* ---- Warnings ---------------------------------------------------------- */

static bool
is_ours(const char *variable)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

/* The known variable that is nearest to a name. */
static const char *
nearest(const char *name)
{
	const char *found = "";
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < config_keys; i++) {
		const char *known = config_table[i].environment;
		size_t d =
		    known && is_ours(known) ? nearest_distance(name, known) : SIZE_MAX;

		if (d < least) {
			least = d;
			found = known;
		}
	}
	return found;
}

static void
warn_unknown(const char *variable, void (*say)(void *arg, const char *text), void *arg)
{
	char name[128];
	char text[512];

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(variable, "="), variable);
	for (size_t i = 0; i < config_keys; i++)
		if (config_table[i].environment &&
		    strcmp(config_table[i].environment, name) == 0)
			return;
	snprintf(text, sizeof(text),
	    "the variable %s is not known here and has no effect; the nearest one is %s",
	    name, nearest(name));
	log_printable(text);
	say(arg, text);
}

void
config_warn(const struct config *c, char *const *environment,
    void (*say)(void *arg, const char *text), void *arg)
{
	const char *enabled = config_variable(environment, "DYN_SYSTEM_ENABLED");
	const char *port = config_variable(environment, "DYN_SYSTEM_PORT");
	char text[128];

	for (char *const *v = environment; v && *v; v++)
		if (is_ours(*v))
			warn_unknown(*v, say, arg);
	if (enabled == NULL || port == NULL || c->http.enabled == (c->http.port >= 0))
		return;
	if (c->http.enabled)
		say(arg,
		    "DYN_SYSTEM_PORT=-1 wins over DYN_SYSTEM_ENABLED: there is no HTTP");
	else {
		snprintf(text, sizeof(text),
		    "DYN_SYSTEM_ENABLED=%.16s wins over DYN_SYSTEM_PORT=%.16s: there is "
		    "no HTTP",
		    enabled, port);
		log_printable(text);
		say(arg, text);
	}
}
