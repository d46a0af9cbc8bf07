/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parsers and writers of packets share: big-endian fields at any address, and the
 * checksum of the Internet protocols. Nothing here checks a length.
 */
#ifndef HOSPES_NETWORK_PACKET_H
#define HOSPES_NETWORK_PACKET_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define PACKET_MAC_SIZE 6u

static inline uint16_t load_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return be16toh(v);
}

static inline uint32_t load_be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

static inline void store_be16(void *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, sizeof(v));
}

static inline void store_be32(void *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof(v));
}

/* RFC 1071: adds `length` bytes, at most 64 KiB, to a sum that packet_checksum() folds. */
static inline uint32_t packet_sum(uint32_t sum, const uint8_t *data, uint32_t length)
{
    for (; length > 1; length -= 2, data += 2)
        sum += load_be16(data);
    return length ? sum + ((uint32_t)*data << 8) : sum;
}

static inline uint16_t packet_checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

#endif
