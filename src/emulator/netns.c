/* netns - see netns.h. unshare() and setns() change the calling thread only, so a worker thread
 * steps into the new namespace, opens what must be opened inside, and steps back out. */
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "rtnl.h"

#define FIRST_N 8
#define LAST_N 250

/* host_rtnl is one conversation; several workers may set up tasks at a time. */
static pthread_mutex_t rtnl_lock = PTHREAD_MUTEX_INITIALIZER;

static struct in_addr address_of(const char *text)
{
	struct in_addr a;

	inet_pton(AF_INET, text, &a);
	return a;
}

static void go_home(const struct network *net)
{
	/* A thread left in a task's namespace would serve others from there: no way to go on. */
	if (setns(net->host_ns, CLONE_NEWNET) < 0)
		abort();
}

/* Enter a new namespace; the caller must go_home(). */
static int enter_new(struct err *err)
{
	if (unshare(CLONE_NEWNET) < 0)
		return err_sys(err, errno, "make a network namespace");
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "open the network namespace") : fd;
}

static bool address_in_use(const char *address)
{
	struct ifaddrs *list, *i;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
		    ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr ==
			    address_of(address).s_addr)
			found = true;
	freeifaddrs(list);
	return found;
}

static int choose_n(struct network *net, struct err *err)
{
	struct err last = { 0 };
	char dev[16];

	for (net->n = FIRST_N; net->n <= LAST_N; net->n++) {
		snprintf(net->host_address, sizeof net->host_address, "169.254.%d.1",
			 net->n & 0xff);
		snprintf(dev, sizeof dev, "cr%d", net->n);
		if (address_in_use(net->host_address) ||
		    rtnl_veth_add(net->host_rtnl, dev, "hub", net->hub_ns, &last) < 0) {
			if (last.code && last.code != EEXIST)
				break;
			continue;
		}
		if (rtnl_addr_add(net->host_rtnl, dev, address_of(net->host_address), err) < 0 ||
		    rtnl_link_up(net->host_rtnl, dev, err) < 0)
			return -1;
		return 0;
	}
	if (last.code && last.code != EEXIST) {
		if (err)
			*err = last;
		return -1;
	}
	return err_set(err, ERR_LIMIT, "all of 169.254.%d.1 to 169.254.%d.1 are in use", FIRST_N,
		       LAST_N);
}

int network_init(struct network *net, struct err *err)
{
	*net = (struct network){ .hub_ns = -1, .host_rtnl = -1, .hub_rtnl = -1, .next = 2 };
	net->host_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (net->host_ns < 0)
		return err_sys(err, errno, "open the host's network namespace");
	net->host_rtnl = rtnl_open(err);
	if (net->host_rtnl < 0)
		return -1;
	net->hub_ns = enter_new(err);
	if (net->hub_ns >= 0)
		net->hub_rtnl = rtnl_open(err);
	go_home(net);
	if (net->hub_rtnl < 0 || rtnl_link_up(net->hub_rtnl, "lo", err) < 0 ||
	    rtnl_addr_add(net->hub_rtnl, "lo", address_of(NETNS_METADATA_ADDRESS), err) < 0)
		return -1;
	if (choose_n(net, err) < 0)
		return err_wrap(err, "network for the tasks");
	return 0;
}

void network_release(struct network *net)
{
	char dev[16];

	if (net->host_rtnl >= 0 && net->n) {
		/* The kernel would do it later by itself; a test may look right after our exit. */
		snprintf(dev, sizeof dev, "cr%d", net->n);
		rtnl_link_del(net->host_rtnl, dev, NULL);
	}
	mem_auto_close(&net->hub_ns);
	mem_auto_close(&net->host_ns);
	mem_auto_close(&net->host_rtnl);
	mem_auto_close(&net->hub_rtnl);
	net->hub_ns = net->host_ns = net->host_rtnl = net->hub_rtnl = -1;
}

int netns_reserve(struct network *net, struct netns *ns)
{
	*ns = (struct netns){ .fd = -1, .metadata_fd = -1 };
	/* Round robin: an address just given up may still be known to somebody's ARP cache. */
	for (unsigned i = 0; i < NETNS_ADDRESSES; i++) {
		unsigned x = 2 + (net->next - 2 + i) % NETNS_ADDRESSES;
		if (net->used[x])
			continue;
		net->used[x] = 1;
		net->next = 2 + (x - 1) % NETNS_ADDRESSES;
		ns->x = (int)x;
		snprintf(ns->device, sizeof ns->device, "cr%d-%u", net->n, ++net->seq % 1000000000);
		snprintf(ns->address, sizeof ns->address, "169.254.%d.%u", net->n, x);
		return 0;
	}
	return -1;
}

void netns_unreserve(struct network *net, struct netns *ns)
{
	net->used[ns->x] = 0;
	ns->x = 0;
}

/* In the hub. Each task has a listener of its own, for what comes over its link. */
static int listen_metadata(const char *device, struct err *err)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(80),
				  .sin_addr = address_of(NETNS_METADATA_ADDRESS) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(err, errno, "metadata socket");
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 64) < 0) {
		err_sys(err, errno, "listen on %s:80 for the task", NETNS_METADATA_ADDRESS);
		close(fd);
		return -1;
	}
	return fd;
}

static void write_sysctl(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* an old kernel: the default stays */
	(void)!write(fd, value, strlen(value));
	close(fd);
}

/* In the new namespace: lo. Returns its rtnetlink socket. */
static int furnish(struct netns *ns, struct err *err)
{
	AUTO_CLOSE int rtnl = -1;

	ns->fd = enter_new(err);
	if (ns->fd < 0)
		return -1;
	rtnl = rtnl_open(err);
	if (rtnl < 0 || rtnl_link_up(rtnl, "lo", err) < 0)
		return -1;
	/* Any user may listen on port 80, as in every container platform. */
	write_sysctl("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	return steal_fd(&rtnl);
}

/* The task's link to the hub, and who listens at its other end. */
static int connect_metadata(struct network *net, struct netns *ns, int rtnl, struct in_addr task, struct err *err)
{
	pthread_mutex_lock(&rtnl_lock);
	int rc = rtnl_veth_add(rtnl, "meta", ns->device, net->hub_ns, err);
	if (rc == 0)
		rc = rtnl_link_up(net->hub_rtnl, ns->device, err);
	if (rc == 0)
		rc = rtnl_route_add(net->hub_rtnl, ns->device, task, err);
	pthread_mutex_unlock(&rtnl_lock);
	if (rc < 0 || rtnl_link_up(rtnl, "meta", err) < 0 ||
	    rtnl_route_add(rtnl, "meta", address_of(NETNS_METADATA_ADDRESS), err) < 0)
		return -1;
	if (setns(net->hub_ns, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "enter the hub's network namespace");
	ns->metadata_fd = listen_metadata(ns->device, err);
	go_home(net);
	return ns->metadata_fd < 0 ? -1 : 0;
}

int netns_make(struct network *net, struct netns *ns, struct err *err)
{
	struct in_addr host = address_of(net->host_address), task = address_of(ns->address);
	AUTO_CLOSE int rtnl = furnish(ns, err);

	go_home(net);
	if (rtnl < 0)
		return -1;
	pthread_mutex_lock(&rtnl_lock);
	int rc = rtnl_veth_add(net->host_rtnl, ns->device, "eth0", ns->fd, err);
	if (rc == 0)
		rc = rtnl_link_up(net->host_rtnl, ns->device, err);
	if (rc == 0)
		rc = rtnl_route_add(net->host_rtnl, ns->device, task, err);
	pthread_mutex_unlock(&rtnl_lock);
	if (rc < 0)
		return -1;
	if (rtnl_addr_add(rtnl, "eth0", task, err) < 0 || rtnl_link_up(rtnl, "eth0", err) < 0 ||
	    rtnl_route_add(rtnl, "eth0", host, err) < 0 ||
	    rtnl_default_route_add(rtnl, "eth0", host, err) < 0)
		return -1;
	return connect_metadata(net, ns, rtnl, task, err);
}

void netns_unmake(struct network *net, struct netns *ns)
{
	if (ns->fd >= 0) {
		/* Now, and not when the kernel gets to it: the address is about to be used again. */
		pthread_mutex_lock(&rtnl_lock);
		rtnl_link_del(net->host_rtnl, ns->device, NULL);
		rtnl_link_del(net->hub_rtnl, ns->device, NULL);
		pthread_mutex_unlock(&rtnl_lock);
	}
	mem_auto_close(&ns->metadata_fd);
	mem_auto_close(&ns->fd);
	ns->fd = ns->metadata_fd = -1;
}

int netns_socket(struct network *net, const struct netns *ns, struct err *err)
{
	if (setns(ns->fd, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "enter the task's network namespace");
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int saved = errno;
	go_home(net);
	return s < 0 ? err_sys(err, saved, "socket in the task's network namespace") : s;
}
