/* SPDX-License-Identifier: Apache-2.0 */
#include "network/pcap.h"

#include "base/bits.h"
#include "network/net.h"

#define MAGIC_MICROSECONDS 0xa1b2c3d4u
#define VERSION_MAJOR      2u
#define VERSION_MINOR      4u
#define LINKTYPE_ETHERNET  1u

void pcap_file_header(uint8_t header[PCAP_FILE_HEADER])
{
    memset(header, 0, PCAP_FILE_HEADER);
    store_le32(header, MAGIC_MICROSECONDS);
    store_le16(header + 4, VERSION_MAJOR);
    store_le16(header + 6, VERSION_MINOR);
    store_le32(header + 16, NET_FRAME_MAX); /* no frame is longer */
    store_le32(header + 20, LINKTYPE_ETHERNET);
}

void pcap_record_header(uint8_t header[PCAP_RECORD_HEADER], uint64_t realtime_ns, uint32_t length)
{
    store_le32(header, (uint32_t)(realtime_ns / 1000000000u));
    store_le32(header + 4, (uint32_t)(realtime_ns % 1000000000u / 1000u));
    store_le32(header + 8, length);
    store_le32(header + 12, length);
}
