/* rtnl - rtnetlink messages by hand; see rtnl.h.
 *
 *   | nlmsghdr | ifinfomsg, ifaddrmsg or rtmsg | rtattr value | rtattr value ... |
 *
 * Every request asks for an acknowledgement and waits for it. */
#include "rtnl.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
		char space[512];
	} body;
};

static void request_init(struct request *r, uint16_t type, uint16_t flags, size_t body_len)
{
	memset(r, 0, sizeof *r);
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(body_len);
}

static struct rtattr *attr_add(struct request *r, uint16_t type, const void *p, size_t n)
{
	size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
	struct rtattr *a = (struct rtattr *)((char *)r + at);

	assert(at + RTA_LENGTH(n) <= sizeof *r);
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), p, n);
	r->head.nlmsg_len = (uint32_t)(at + RTA_ALIGN(a->rta_len));
	return a;
}

static void attr_close(struct request *r, struct rtattr *a)
{
	a->rta_len = (uint16_t)((char *)r + r->head.nlmsg_len - (char *)a);
}

static int send_request(int sock, struct request *r)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr err;
		char more[1024];
	} ack;

	if (send(sock, r, r->head.nlmsg_len, 0) < 0)
		return errno;
	ssize_t n = recv(sock, &ack, sizeof ack, 0);
	if (n < 0)
		return errno;
	if ((size_t)n < sizeof ack.head + sizeof ack.err.error || ack.head.nlmsg_type != NLMSG_ERROR)
		return EPROTO;
	return -ack.err.error;
}

static int finish(int rc, struct err *err, const char *what, const char *dev)
{
	return rc ? err_sys(err, rc, "%s %s", what, dev) : 0;
}

/* Interface indices belong to the socket's namespace, so if_nametoindex() would ask the wrong one;
 * RTM_GETLINK answers with the link's message (or an error). */
static int link_index(int sock, const char *dev)
{
	struct request r;
	union {
		struct nlmsghdr head;
		char space[16 * 1024];
	} in;

	request_init(&r, RTM_GETLINK, 0, sizeof r.body.link);
	r.head.nlmsg_flags = NLM_F_REQUEST;
	attr_add(&r, IFLA_IFNAME, dev, strlen(dev) + 1);
	if (send(sock, &r, r.head.nlmsg_len, 0) < 0)
		return 0;
	ssize_t n = recv(sock, &in, sizeof in, 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct ifinfomsg)) || in.head.nlmsg_type != RTM_NEWLINK)
		return 0;
	return ((struct ifinfomsg *)NLMSG_DATA(&in.head))->ifi_index;
}

int rtnl_open(struct err *err)
{
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (s < 0)
		return err_sys(err, errno, "open rtnetlink");
	/* The kernel answers at once; a deadline all the same. */
	struct timeval tv = { .tv_sec = 5 };
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	return s;
}

int rtnl_link_up(int sock, const char *dev, struct err *err)
{
	struct request r;

	request_init(&r, RTM_NEWLINK, 0, sizeof r.body.link);
	r.body.link.ifi_index = link_index(sock, dev);
	r.body.link.ifi_flags = r.body.link.ifi_change = IFF_UP;
	return finish(r.body.link.ifi_index ? send_request(sock, &r) : ENODEV, err, "set up", dev);
}

int rtnl_link_del(int sock, const char *dev, struct err *err)
{
	struct request r;

	request_init(&r, RTM_DELLINK, 0, sizeof r.body.link);
	attr_add(&r, IFLA_IFNAME, dev, strlen(dev) + 1);
	return finish(send_request(sock, &r), err, "delete", dev);
}

int rtnl_veth_add(int sock, const char *dev, const char *peer, int peer_ns_fd, struct err *err)
{
	struct request r;
	struct ifinfomsg none = { 0 };

	request_init(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof r.body.link);
	attr_add(&r, IFLA_IFNAME, dev, strlen(dev) + 1);
	struct rtattr *info = attr_add(&r, IFLA_LINKINFO, NULL, 0);
	attr_add(&r, IFLA_INFO_KIND, "veth", 4);
	struct rtattr *data = attr_add(&r, IFLA_INFO_DATA, NULL, 0);
	struct rtattr *other = attr_add(&r, VETH_INFO_PEER, &none, sizeof none);
	attr_add(&r, IFLA_IFNAME, peer, strlen(peer) + 1);
	attr_add(&r, IFLA_NET_NS_FD, &peer_ns_fd, sizeof peer_ns_fd);
	attr_close(&r, other);
	attr_close(&r, data);
	attr_close(&r, info);
	return finish(send_request(sock, &r), err, "add veth", dev);
}

int rtnl_addr_add(int sock, const char *dev, struct in_addr addr, struct err *err)
{
	struct request r;
	int index = link_index(sock, dev);

	request_init(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof r.body.addr);
	r.body.addr.ifa_family = AF_INET;
	r.body.addr.ifa_prefixlen = 32;
	r.body.addr.ifa_index = (unsigned)index;
	attr_add(&r, IFA_LOCAL, &addr, sizeof addr);
	attr_add(&r, IFA_ADDRESS, &addr, sizeof addr);
	return finish(index ? send_request(sock, &r) : ENODEV, err, "add an address to", dev);
}

static int route_add(int sock, const char *dev, const struct in_addr *dst,
		     const struct in_addr *gateway, struct err *err)
{
	struct request r;
	int index = link_index(sock, dev);

	request_init(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof r.body.route);
	r.body.route = (struct rtmsg){
		.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK, .rtm_type = RTN_UNICAST,
		.rtm_dst_len = dst ? 32 : 0,
	};
	if (dst)
		attr_add(&r, RTA_DST, dst, sizeof *dst);
	if (gateway)
		attr_add(&r, RTA_GATEWAY, gateway, sizeof *gateway);
	attr_add(&r, RTA_OIF, &index, sizeof index);
	return finish(index ? send_request(sock, &r) : ENODEV, err, "add a route to", dev);
}

int rtnl_route_add(int sock, const char *dev, struct in_addr dst, struct err *err)
{
	return route_add(sock, dev, &dst, NULL, err);
}

int rtnl_default_route_add(int sock, const char *dev, struct in_addr gateway, struct err *err)
{
	return route_add(sock, dev, NULL, &gateway, err);
}
