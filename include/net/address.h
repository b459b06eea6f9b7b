/* address - which IP addresses belong to somebody's own network rather than to the internet: whom a stranger may
 * not send us to. Pure. Source: IANA's registries of special-purpose addresses. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Loopback, link-local (cloud metadata is there), private and shared networks, multicast; also when written as IPv6.
 * What is no IP address counts as private. */
bool address_is_private(const struct sockaddr *a);
bool address_text_is_private(const char *ip);

#endif
