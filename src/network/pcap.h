/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classic capture format, version 2.4, as draft-gharris-opsawg-pcap describes it: a file header
 * (section 4), then a header (section 5) and the bytes of each frame. Little-endian on every host;
 * times in microseconds; link type Ethernet.
 */
#ifndef HOSPES_NETWORK_PCAP_H
#define HOSPES_NETWORK_PCAP_H

#include <stdint.h>

#define PCAP_FILE_HEADER   24u
#define PCAP_RECORD_HEADER 16u

void pcap_file_header(uint8_t header[PCAP_FILE_HEADER]);
/* Of a frame that is stored whole. `realtime_ns` since 1970; the format's seconds end in 2106. */
void pcap_record_header(uint8_t header[PCAP_RECORD_HEADER], uint64_t realtime_ns, uint32_t length);

#endif
