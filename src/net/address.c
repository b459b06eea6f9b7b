/* address - see net/address.h. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct range {
	uint8_t prefix[16];
	unsigned bits;
};

static const struct range v4[] = {
	{{0}, 8},            /* this network */
	{{10}, 8},
	{{100, 64}, 10},     /* shared by a provider's customers */
	{{127}, 8},
	{{169, 254}, 16},    /* link-local: metadata servers */
	{{172, 16}, 12},
	{{192, 0, 0}, 24},
	{{192, 168}, 16},
	{{198, 18}, 15},     /* benchmarks */
	{{224}, 3},          /* multicast, reserved, broadcast */
};

static const struct range v6[] = {
	{{0}, 8},            /* unspecified, loopback, and IPv4 in old clothes */
	{{0x01, 0x00}, 64},  /* discard */
	{{0xfc}, 7},         /* unique local */
	{{0xfe, 0x80}, 10},  /* link-local */
	{{0xfe, 0xc0}, 10},  /* site-local */
	{{0xff}, 8},         /* multicast */
};

/* Behind these an IPv4 address follows. */
static const struct range mapped[] = {
	{{[10] = 0xff, [11] = 0xff}, 96},
	{{0x00, 0x64, 0xff, 0x9b}, 96}, /* NAT64 */
	{{0x20, 0x02}, 16},             /* 6to4 */
};

static bool within(const uint8_t *a, const struct range *r)
{
	size_t whole = r->bits / 8;
	unsigned mask = 0xff00u >> r->bits % 8 & 0xff;

	return memcmp(a, r->prefix, whole) == 0 && (!mask || (a[whole] & mask) == (r->prefix[whole] & mask));
}

#define ANY_WITHIN(a, list) any_within(a, list, sizeof(list) / sizeof(*(list)))
static bool any_within(const uint8_t *a, const struct range *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (within(a, &list[i]))
			return true;
	return false;
}

static bool v6_is_private(const uint8_t *a)
{
	for (size_t i = 0; i < sizeof(mapped) / sizeof(*mapped); i++)
		if (within(a, &mapped[i]))
			return ANY_WITHIN(a + mapped[i].bits / 8, v4);
	return ANY_WITHIN(a, v6);
}

bool address_is_private(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ANY_WITHIN((const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr, v4);
	if (a->sa_family == AF_INET6)
		return v6_is_private((const uint8_t *)&((const struct sockaddr_in6 *)a)->sin6_addr);
	return true;
}

bool address_text_is_private(const char *ip)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};

	if (ip && inet_pton(AF_INET, ip, &four.sin_addr) == 1)
		return address_is_private((const struct sockaddr *)&four);
	if (ip && inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
		return address_is_private((const struct sockaddr *)&six);
	return true;
}
