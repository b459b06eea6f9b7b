/* Versions in paths, and which handler a path leads to. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "api/api.h"
#include "api/routes.h"
#include "api/version.h"

static void expect_version(const char *path, int minor, const char *rest)
{
	const char *got;
	int version, plain;
	struct err err;

	cr_assert_eq(version_split(path, &version, &got, &plain, &err), 0, "%s: %s", path, err.msg);
	cr_assert_eq(version, minor, "%s", path);
	cr_assert_str_eq(got, rest);
}

static void expect_refusal(const char *path, const char *sentence, int plain)
{
	const char *rest;
	int version, got_plain;
	struct err err;

	cr_assert_eq(version_split(path, &version, &rest, &got_plain, &err), -1, "%s", path);
	cr_assert_eq(err.kind, ERR_INVALID);
	cr_assert_str_eq(err.msg, sentence);
	cr_assert_eq(got_plain, plain);
}

Test(version, no_prefix_means_the_newest)
{
	expect_version("/_ping", API_VERSION_MAX, "/_ping");
	expect_version("/version", API_VERSION_MAX, "/version");
	expect_version("/volumes", API_VERSION_MAX, "/volumes");
	expect_version("/v1.41", API_VERSION_MAX, "/v1.41");
}

Test(version, range_is_inclusive)
{
	expect_version("/v1.24/info", 24, "/info");
	expect_version("/v1.41/containers/json", 41, "/containers/json");
	expect_version("/v1.55/info", 55, "/info");
}

Test(version, too_old_and_too_new_in_dockerds_words)
{
	expect_refusal("/v1.23/info", "client version 1.23 is too old. Minimum supported API version is 1.24, please "
		       "upgrade your client to a newer version", 1);
	expect_refusal("/v1.999/info", "client version 1.999 is too new. Maximum supported API version is 1.55", 0);
	expect_refusal("/v2/info", "client version 2 is too new. Maximum supported API version is 1.55", 0);
	expect_refusal("/v1/info", "client version 1 is too old. Minimum supported API version is 1.24, please "
		       "upgrade your client to a newer version", 1);
	expect_refusal("/v1.55.1/info", "client version 1.55.1 is too new. Maximum supported API version is 1.55", 0);
	expect_refusal("/v99999999999999999999.1/x",
		       "client version 99999999999999999999.1 is too new. Maximum supported API version is 1.55", 0);
	expect_refusal("/v./x", "client version . is too old. Minimum supported API version is 1.24, please "
		       "upgrade your client to a newer version", 1);
}

static void expect_route(const char *method, const char *path, request_handler *handler, const char *name)
{
	char *got = NULL;

	cr_assert_eq(routes_find(method, path, &got), handler, "%s %s", method, path);
	if (name)
		cr_assert_str_eq(got, name);
	free(got);
}

Test(routes, names_are_greedy)
{
	expect_route("GET", "/images/127.0.0.1:5000/a/b:c/json", image_inspect, "127.0.0.1:5000/a/b:c");
	expect_route("GET", "/images/json", image_list, "");
	expect_route("DELETE", "/images/ghcr.io/a/b@sha256:00", image_delete, "ghcr.io/a/b@sha256:00");
	expect_route("GET", "/containers/json", container_list, "");
	expect_route("GET", "/containers/json/json", container_inspect, "json");
	expect_route("POST", "/containers/create", container_create, "");
	expect_route("POST", "/exec/abc/start", exec_start, "abc");
}

Test(routes, unknown_path_or_method_is_no_page)
{
	expect_route("GET", "/nope", NULL, NULL);
	expect_route("PUT", "/version", NULL, NULL);
	expect_route("HEAD", "/version", NULL, NULL);
	expect_route("GET", "/containers", NULL, NULL);
	expect_route("DELETE", "/containers/", NULL, NULL);
	expect_route("GET", "/", NULL, NULL);
}

Test(routes, every_endpoint_out_of_scope_is_named_not_unknown)
{
	static const struct {
		const char *method, *path;
	} known[] = {
		{"GET", "/containers/x/top"}, {"GET", "/containers/x/stats"}, {"PUT", "/containers/x/archive"},
		{"HEAD", "/containers/x/archive"}, {"POST", "/build"}, {"POST", "/session"}, {"POST", "/commit"},
		{"POST", "/networks/create"}, {"POST", "/networks/x/connect"}, {"DELETE", "/networks/x"},
		{"POST", "/volumes/create"}, {"POST", "/images/a/b/push"}, {"GET", "/distribution/a/b/json"},
		{"POST", "/auth"}, {"GET", "/swarm"}, {"GET", "/nodes/x"}, {"POST", "/services/create"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char *name = NULL;

		cr_assert_not_null(routes_find(known[i].method, known[i].path, &name), "%s", known[i].path);
		free(name);
	}
}

Test(routes, paths_are_cleaned_as_the_go_router_does)
{
	static const char *const table[][2] = {
		{"/containers//t1/json", "/containers/t1/json"}, {"/a/./b", "/a/b"}, {"/a/../b", "/b"},
		{"/../..", "/"}, {"/a/b/", "/a/b/"}, {"//", "/"}, {"", "/"}, {"/a/b", "/a/b"},
		{"/images/..a/json", "/images/..a/json"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *clean = routes_clean(table[i][0]);

		cr_assert_str_eq(clean, table[i][1], "%s -> %s", table[i][0], clean);
		free(clean);
	}
}
