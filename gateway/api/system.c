/* system - _ping, version, info: what the engine says of itself.
 * Sizes and limits are Cloud Run's, never invented ones. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "api/api.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/version.h"
#include "base/clock.h"
#include "base/mem.h"
#include "state/container.h"
#include "state/image.h"

/* What one execution can have at most. Source: Cloud Run's documentation, "CPU limits (jobs)". */
#define CLOUD_RUN_CPUS 8
#define CLOUD_RUN_MEMORY (32LL * 1024 * 1024 * 1024)

void system_ping(struct request *r)
{
	exchange_add_header(r->x, "Builder-Version", "1");
	exchange_add_header(r->x, "Swarm", "inactive");
	exchange_add_header(r->x, "Cache-Control", "no-cache, no-store, must-revalidate");
	exchange_add_header(r->x, "Pragma", "no-cache");
	/* HEAD says Content-Length: 0, as dockerd does. */
	reply_text(r, 200, strcmp(exchange_method(r->x), "HEAD") == 0 ? "" : "OK");
}

void system_version(struct request *r)
{
	struct utsname u = {0};

	uname(&u);
	reply_json(r, 200, json_pack(
		"{s:{s:s}, s:[{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s}}], s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
		"s:s}", "Platform", "Name", "Sockerless Gateway for Cloud Run", "Components",
		"Name", "Engine", "Version", VERSION, "Details", "ApiVersion", API_VERSION_MAX_TEXT, "Arch", "amd64",
		"Experimental", "false", "GitCommit", "", "KernelVersion", u.release, "MinAPIVersion",
		API_VERSION_MIN_TEXT, "Os", "linux",
		"Version", VERSION, "ApiVersion", API_VERSION_MAX_TEXT, "MinAPIVersion", API_VERSION_MIN_TEXT,
		"GitCommit", "", "GoVersion", "", "Os", "linux", "Arch", "amd64", "KernelVersion", u.release,
		"BuildTime", ""));
}

static size_t count_images(struct images *t)
{
	struct image **list = images_list(t);
	size_t n = 0;

	while (list[n])
		n++;
	free(list);
	return n;
}

static const char info_constants[] =
	"{\"DriverStatus\":[],"
	"\"Plugins\":{\"Volume\":[\"local\"],\"Network\":[\"bridge\",\"host\",\"null\"],\"Authorization\":null,\"Log\":[\"json-file\"]},"
	"\"MemoryLimit\":true,\"SwapLimit\":false,\"CpuCfsPeriod\":true,\"CpuCfsQuota\":true,\"CPUShares\":false,"
	"\"CPUSet\":false,\"PidsLimit\":false,\"IPv4Forwarding\":true,\"BridgeNfIptables\":true,"
	"\"BridgeNfIp6tables\":true,\"Debug\":false,\"NFd\":0,\"OomKillDisable\":false,\"NGoroutines\":0,"
	"\"LoggingDriver\":\"json-file\",\"CgroupDriver\":\"none\",\"CgroupVersion\":\"2\",\"NEventsListener\":0,"
	"\"OSVersion\":\"\",\"OSType\":\"linux\",\"ExecutionDriver\":\"<not supported>\",\"Architecture\":\"x86_64\","
	"\"IndexServerAddress\":\"https://index.docker.io/v1/\","
	"\"RegistryConfig\":{\"AllowNondistributableArtifactsCIDRs\":[],\"AllowNondistributableArtifactsHostnames\":[],"
	"\"InsecureRegistryCIDRs\":[\"127.0.0.0/8\"],\"IndexConfigs\":{\"docker.io\":{\"Name\":\"docker.io\","
	"\"Mirrors\":[],\"Secure\":true,\"Official\":true}},\"Mirrors\":[]},"
	"\"GenericResources\":null,\"HttpProxy\":\"\",\"HttpsProxy\":\"\",\"NoProxy\":\"\",\"Labels\":[],"
	"\"ExperimentalBuild\":false,\"Runtimes\":{\"cloudrun\":{\"path\":\"\",\"status\":{}}},\"DefaultRuntime\":\"cloudrun\","
	"\"Swarm\":{\"NodeID\":\"\",\"NodeAddr\":\"\",\"LocalNodeState\":\"inactive\",\"ControlAvailable\":false,"
	"\"Error\":\"\",\"RemoteManagers\":null},\"LiveRestoreEnabled\":true,\"Isolation\":\"\",\"InitBinary\":\"\","
	"\"ContainerdCommit\":{\"ID\":\"\",\"Expected\":\"\"},\"RuncCommit\":{\"ID\":\"\",\"Expected\":\"\"},"
	"\"InitCommit\":{\"ID\":\"\",\"Expected\":\"\"},\"SecurityOptions\":[],\"CDISpecDirs\":[],\"DiscoveredDevices\":[],\"FirewallBackend\":{\"Driver\":\"none\"},\"Warnings\":null}";

void system_info(struct request *r)
{
	struct gateway *g = r->g;
	struct container **list = containers_list(g->containers);
	AUTO_FREE char *os = xasprintf("Google Cloud Run (%s)", g->config->region ? g->config->region : "local");
	AUTO_FREE char *name = xasprintf("sockerless-%s", g->instance_id);
	char now[CLOCK_RFC3339_MAX];
	size_t n = 0, running = 0, paused = 0;
	struct utsname u = {0};
	json_t *info;

	for (; list[n]; n++) {
		paused += container_is_running(list[n]) && list[n]->paused;
		running += container_is_running(list[n]) && !list[n]->paused;
	}
	free(list);
	uname(&u);
	info = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:s, s:s}", "ID",
			 g->instance_id, "Containers", (json_int_t)n, "ContainersRunning", (json_int_t)running,
			 "ContainersPaused", (json_int_t)paused, "ContainersStopped",
			 (json_int_t)(n - running - paused), "Images",
			 (json_int_t)count_images(g->images), "Driver", "cloudrun", "SystemTime",
			 clock_format(clock_wall_ns(), 0, now), "KernelVersion", u.release, "OperatingSystem", os,
			 "NCPU", CLOUD_RUN_CPUS, "MemTotal", (json_int_t)CLOUD_RUN_MEMORY, "DockerRootDir",
			 g->config->state_dir ? g->config->state_dir : "", "Name", name, "ServerVersion", VERSION);
	json_object_update_new(info, json_loads(info_constants, 0, NULL));
	reply_json(r, 200, version_trim(info, VERSION_INFO, r->version));
}

void system_plugins(struct request *r)
{
	reply_json(r, 200, json_array());
}

/* The path goes on with what is to be done to it. */
void system_no_plugin(struct request *r)
{
	reply_error(r, ERR_NOT_FOUND, "plugin \"%.*s\" not found", (int)strcspn(r->name, "/"), r->name);
}

void system_empty_prune(struct request *r)
{
	if (strcmp(r->path, "/networks/prune") == 0)
		reply_json(r, 200, json_pack("{s:n}", "NetworksDeleted"));
	else
		reply_json(r, 200, json_pack("{s:n, s:i}", "CachesDeleted", "SpaceReclaimed", 0));
}
