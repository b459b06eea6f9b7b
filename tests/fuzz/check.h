/* check - what every fuzz program needs: the entry that libFuzzer calls, and an assert that ends the run. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                       \
	do {                                                                                           \
		if (!(x)) {                                                                            \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                        \
			abort();                                                                       \
		}                                                                                      \
	} while (0)

#endif
