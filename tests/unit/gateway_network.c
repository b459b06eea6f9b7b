/* Networks: finding, names, who is connected, what outlives a restart; which ports are wished for. */
#include <string.h>

#include "agents/port_spec.h"
#include "state/network.h"
#include "state_fixture.h"

static void open_networks(void)
{
	struct err err = {0};

	snprintf(f.g.instance_id, sizeof(f.g.instance_id), "0123456789abcdef");
	f.g.networks = networks_new(&f.g, &err);
	cr_assert_not_null(f.g.networks, "%s", err.msg);
}

static void setup(void)
{
	fixture_setup();
	open_networks();
}

static void teardown(void)
{
	networks_free(f.g.networks);
	fixture_teardown();
}

TestSuite(network, .init = setup, .fini = teardown);

static struct network *add(const char *name, bool may_repeat, struct err *err)
{
	struct network *other;

	return networks_add(f.g.networks, &(struct network_new){.name = name, .driver = "bridge", .ipam = json_object(),
			    .options = json_object(), .labels = json_pack("{s:s}", "k", "v"),
			    .config_from = json_object(), .may_repeat = may_repeat}, &other, err);
}

static struct container *container(const char *name, const char *mode)
{
	struct err err = {0};
	struct container *c = containers_add(f.g.containers, &(struct container_new){.name = name, .image = "x",
			.config = json_object(), .host_config = json_pack("{s:s}", "NetworkMode", mode)}, &err);

	cr_assert_not_null(c, "%s", err.msg);
	return c;
}

static struct network *find(const char *ref)
{
	return networks_find(f.g.networks, ref, NULL);
}

Test(network, is_found_by_id_name_and_prefix)
{
	struct err err = {0};
	struct network *n = add("mine", false, &err), *bridge = find("bridge");

	cr_expect(find("mine") == n && find(n->id) == n);
	cr_expect(bridge && bridge->predefined && find("none") && find("host"));
	cr_expect(find(bridge->id) == bridge);
	cr_expect(networks_find(f.g.networks, "theirs", &err) == NULL);
	cr_expect(err.kind == ERR_NOT_FOUND);
	cr_expect_str_eq(err.msg, "network theirs not found");
}

Test(network, a_name_is_taken_once_unless_asked_otherwise)
{
	struct err err = {0};

	cr_assert(add("mine", false, &err) != NULL);
	cr_expect(add("mine", false, &err) == NULL);
	cr_expect(err.kind == ERR_CONFLICT);
	cr_expect_str_eq(err.msg, "network with name mine already exists");
	cr_assert(add("mine", true, &err) != NULL);
	cr_expect(networks_find(f.g.networks, "mine", &err) == NULL);
	cr_expect(err.kind == ERR_INVALID, "ambiguous");
}

Test(network, outlives_a_restart_and_the_predefined_keep_their_ids)
{
	struct err err = {0};
	AUTO_FREE char *mine = xstrdup(add("mine", false, &err)->id), *bridge = xstrdup(find("bridge")->id);

	networks_free(f.g.networks);
	fixture_reopen();
	open_networks();
	cr_assert(find("mine") != NULL);
	cr_expect_str_eq(find("mine")->id, mine);
	cr_expect_str_eq(json_string_value(json_object_get(find("mine")->labels, "k")), "v");
	cr_expect_str_eq(find("bridge")->id, bridge);
}

Test(network, connect_and_disconnect_change_the_containers_record)
{
	struct err err = {0};
	struct network *n = add("mine", false, &err), *none = find("none");
	struct container *c = container("box", "default");

	cr_expect(network_has(f.g.networks, find("bridge"), c) && !network_has(f.g.networks, n, c));
	cr_assert_eq(network_connect(f.g.networks, n, c, NULL, &err), 0, "%s", err.msg);
	cr_expect(network_has(f.g.networks, n, c) && network_has(f.g.networks, find("bridge"), c));
	cr_expect_eq(network_connect(f.g.networks, none, c, NULL, &err), -1);
	cr_expect(err.kind == ERR_INVALID);
	cr_expect_eq(network_connect(f.g.networks, find("host"), c, NULL, &err), -1);
	cr_assert_eq(network_disconnect(f.g.networks, n, c, &err), 0, "%s", err.msg);
	cr_expect_eq(network_disconnect(f.g.networks, n, c, &err), -1);
	cr_expect(!network_has(f.g.networks, n, c));
}

Test(network, in_use_by_what_runs_it_cannot_be_removed)
{
	struct err err = {0};
	struct network *n = add("mine", false, &err);
	struct container *c = container("box", "mine");
	char id[ID_HEX_MAX];

	cr_expect(!network_in_use(f.g.networks, n));
	cr_assert_eq(container_set_starting(c, "t", &err), 0);
	cr_assert_eq(container_set_running(c, 1, 1, &err), 0);
	cr_expect(network_in_use(f.g.networks, n));
	network_endpoint_id(n, c, id);
	cr_expect_eq(strlen(id), 64);
	cr_expect_eq(network_remove(f.g.networks, n, &err), -1);
	cr_expect(err.kind == ERR_FORBIDDEN);
	cr_assert_eq(container_set_exited(c, 0, 2, false, &err), 0);
	network_endpoint_id(n, c, id);
	cr_expect_str_eq(id, "");
	cr_expect_eq(network_remove(f.g.networks, n, &err), 0, "%s", err.msg);
	cr_expect_eq(network_remove(f.g.networks, find("bridge"), &err), -1);
	cr_expect_eq(networks_check_start(f.g.networks, c, &err), -1);
	cr_expect_str_eq(err.msg, "network mine not found");
}

Test(network, a_shared_one_has_no_endpoints)
{
	struct container *c = container("box", "container:other");
	json_t *endpoints = network_endpoints(c);

	cr_expect_str_eq(network_shared_with(c), "other");
	cr_expect_eq(json_object_size(endpoints), 0);
	json_decref(endpoints);
}

/* ---- ports ---------------------------------------------------------------------------------------- */

static int read_wishes(const char *config, const char *host, struct port_wishes *w, struct err *err)
{
	json_t *c = json_loads(config, 0, NULL), *h = json_loads(host, 0, NULL);
	int rc = port_wishes_read(c, h, w, err);

	json_decref(c);
	json_decref(h);
	return rc;
}

Test(ports, exposed_and_bound_ones_are_read)
{
	struct port_wishes w;
	struct err err = {0};

	cr_assert_eq(read_wishes("{\"ExposedPorts\":{\"99/tcp\":{},\"80/tcp\":{},\"zz\":{}}}", "{\"PortBindings\":{\"80\":[{\"HostPort\":"
		"\"8000-8010\",\"HostIp\":\"127.0.0.1\"},{\"HostPort\":\"\"}],\"53/udp\":[{}],\"7/tcp\":null}}", &w, &err), 0);
	cr_assert_eq(w.n, 5);
	cr_expect(w.v[0].port == 7 && !w.v[0].publish);
	cr_expect(w.v[1].port == 53 && !w.v[1].tcp && w.v[1].publish);
	cr_expect(w.v[2].port == 80 && w.v[2].publish && w.v[3].port == 80);
	cr_expect_str_eq(w.v[2].key, "80/tcp");
	for (size_t i = 2; i < 4; i++)
		cr_expect(w.v[i].first ? w.v[i].first == 8000 && w.v[i].last == 8010 && !strcmp(w.v[i].host, "127.0.0.1")
				       : w.v[i].last == 0 && !*w.v[i].host);
	cr_expect(w.v[4].port == 99 && !w.v[4].publish);
	port_wishes_release(&w);
	cr_assert_eq(read_wishes("{\"ExposedPorts\":{\"99/tcp\":{}}}", "{\"PublishAllPorts\":true}", &w, &err), 0);
	cr_expect(w.n == 1 && w.v[0].publish);
	port_wishes_release(&w);
}

Test(ports, nonsense_is_refused)
{
	static const char *const bad[] = {
		"{\"x/tcp\":[{}]}", "{\"0/tcp\":[{}]}", "{\"80/tcp\":[{\"HostPort\":\"zz\"}]}",
		"{\"80/tcp\":[{\"HostPort\":\"70000\"}]}", "{\"80/tcp\":[{\"HostPort\":\"9-8\"}]}",
		"{\"80/tcp\":[{\"HostIp\":\"zz\"}]}", "{\"80/tcp\":7}", "{\"80/\":[{}]}", "{\"99999/tcp\":[{}]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO_FREE char *host = xasprintf("{\"PortBindings\":%s}", bad[i]);
		struct port_wishes w;
		struct err err = {0};

		cr_expect_eq(read_wishes("{}", host, &w, &err), -1, "%s", bad[i]);
		cr_expect(err.kind == ERR_INVALID, "%s", bad[i]);
	}
}
