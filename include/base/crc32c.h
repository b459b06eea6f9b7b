/* crc32c - the Castagnoli checksum, by the processor's own instruction where it has one. Pure. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of the bytes before (0 at first) and these. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the instruction, for comparison. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
