/* Private addresses, and those that look alike. */
#include <criterion/criterion.h>

#include "net/address.h"

Test(address, private_and_public_ones_are_told_apart)
{
	static const char *const private[] = {
		"0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
		"169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1", "198.18.0.1", "198.19.255.255",
		"224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
		"::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "100::1",
		"localhost", "", "1.2.3", "169.254.169.254 ",
	};
	static const char *const public[] = {
		"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.0.0.1", "128.0.0.1",
		"169.253.255.255", "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.1.1", "192.169.0.1", "198.17.0.1",
		"198.20.0.1", "199.36.153.8", "203.0.113.7", "223.255.255.255",
		"2607:f8b0::1", "2a00:1450:4001::2004", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::",
	};

	for (size_t i = 0; i < sizeof(private) / sizeof(*private); i++)
		cr_expect(address_text_is_private(private[i]), "%s", private[i]);
	for (size_t i = 0; i < sizeof(public) / sizeof(*public); i++)
		cr_expect(!address_text_is_private(public[i]), "%s", public[i]);
	cr_expect(address_text_is_private(NULL));
}
