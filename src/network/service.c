/* SPDX-License-Identifier: Apache-2.0 */
#include "network/service.h"

#include <string.h>

#include "network/frame.h"
#include "network/packet.h"

const uint8_t service_mac[6] = {0x52, 0x55, 0x0a, 0x00, 0x00, 0x01};

enum { TYPE_IP = 0x0800, TYPE_ARP = 0x0806 };

/* RFC 826, for IPv4 over Ethernet; offsets in the packet. */
enum {
    ARP_SIZE = 28,
    ARP_OPERATION = 6,
    ARP_SENDER_MAC = 8,
    ARP_SENDER = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET = 24,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
};

/* RFC 791, 3.1 */
enum {
    IP_SIZE = 20, /* without options */
    IP_LENGTH = 2,
    IP_FRAGMENT = 6,
    IP_TTL = 8,
    IP_PROTOCOL = 9,
    IP_CHECKSUM = 10,
    IP_SOURCE = 12,
    IP_TARGET = 16,
};

enum { PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17 };
enum { ICMP_SIZE = 8, ICMP_ECHO_REPLY = 0, ICMP_ECHO = 8 };
enum { UDP_SIZE = 8, PORT_DNS = 53, PORT_DHCP_SERVER = 67, PORT_DHCP_CLIENT = 68 };

#define IP_FRAGMENTED 0x3fffu /* more fragments, or an offset */
#define IP_TO_ALL     0xffffffffu

/* A packet of the guest whose lengths are checked. */
struct packet {
    uint32_t source, target;
    unsigned protocol;
    const uint8_t *data; /* behind the IP header */
    uint32_t length;
};

/* The frame that is written. */
struct answer {
    uint8_t *frame;
    uint32_t length;
};

/* ---- writing ---- */

static void frame_begin(struct answer *answer, const uint8_t to[6], uint16_t type)
{
    memcpy(answer->frame, to, 6);
    memcpy(answer->frame + 6, service_mac, 6);
    store_be16(answer->frame + 12, type);
}

/* The header in front of `length` bytes, which stand there already. */
static void ip_finish(struct answer *answer, unsigned protocol, uint32_t source, uint32_t target,
                      uint32_t length)
{
    uint8_t *ip = answer->frame + FRAME_HEADER_SIZE;

    memset(ip, 0, IP_SIZE);
    ip[0] = 0x45;
    store_be16(ip + IP_LENGTH, (uint16_t)(IP_SIZE + length));
    ip[IP_TTL] = 64;
    ip[IP_PROTOCOL] = (uint8_t)protocol;
    store_be32(ip + IP_SOURCE, source);
    store_be32(ip + IP_TARGET, target);
    store_be16(ip + IP_CHECKSUM, packet_checksum(packet_sum(0, ip, IP_SIZE)));
    answer->length = FRAME_HEADER_SIZE + IP_SIZE + length;
}

static uint8_t *udp_data(const struct answer *answer)
{
    return answer->frame + FRAME_HEADER_SIZE + IP_SIZE + UDP_SIZE;
}

/* Around `length` bytes at udp_data(). RFC 768. */
static void udp_finish(struct answer *answer, uint32_t source, uint16_t source_port,
                       uint32_t target, uint16_t target_port, uint32_t length)
{
    uint8_t *udp = answer->frame + FRAME_HEADER_SIZE + IP_SIZE;
    uint32_t sum = PROTOCOL_UDP + UDP_SIZE + length;
    uint16_t checksum;

    ip_finish(answer, PROTOCOL_UDP, source, target, UDP_SIZE + length);
    store_be16(udp, source_port);
    store_be16(udp + 2, target_port);
    store_be16(udp + 4, (uint16_t)(UDP_SIZE + length));
    store_be16(udp + 6, 0);
    sum = packet_sum(sum, udp - 8, 8); /* both addresses */
    checksum = packet_checksum(packet_sum(sum, udp, UDP_SIZE + length));
    store_be16(udp + 6, checksum ? checksum : 0xffff); /* 0 means: none */
}

/* ---- the services ---- */

static bool take_arp(const struct service *service, const uint8_t *arp, uint32_t length,
                     struct answer *answer)
{
    static const uint8_t kind[] = {0, 1, 0x08, 0x00, 6, 4}; /* Ethernet, IPv4, their sizes */
    uint8_t *reply = answer->frame + FRAME_HEADER_SIZE;

    if (length < ARP_SIZE || memcmp(arp, kind, sizeof(kind)) != 0)
        return false;
    /* Nobody else is to hear that the guest has this address. */
    if (load_be32(arp + ARP_SENDER) == service->lease.server)
        return true;
    if (load_be32(arp + ARP_TARGET) != service->lease.server)
        return false;
    if (load_be16(arp + ARP_OPERATION) != ARP_REQUEST)
        return true;
    frame_begin(answer, arp + ARP_SENDER_MAC, TYPE_ARP);
    memcpy(reply, kind, sizeof(kind));
    store_be16(reply + ARP_OPERATION, ARP_REPLY);
    memcpy(reply + ARP_SENDER_MAC, service_mac, sizeof(service_mac));
    store_be32(reply + ARP_SENDER, service->lease.server);
    memcpy(reply + ARP_TARGET_MAC, arp + ARP_SENDER_MAC, 6);
    memcpy(reply + ARP_TARGET, arp + ARP_SENDER, 4);
    answer->length = FRAME_HEADER_SIZE + ARP_SIZE;
    return true;
}

/* RFC 792 */
static void take_echo(const struct packet *packet, struct answer *answer)
{
    uint8_t *icmp = answer->frame + FRAME_HEADER_SIZE + IP_SIZE;

    if (packet->length < ICMP_SIZE || packet->data[0] != ICMP_ECHO || packet->data[1] ||
        packet->length > SERVICE_ANSWER_MAX - FRAME_HEADER_SIZE - IP_SIZE)
        return;
    memcpy(icmp, packet->data, packet->length);
    icmp[0] = ICMP_ECHO_REPLY;
    store_be16(icmp + 2, 0);
    store_be16(icmp + 2, packet_checksum(packet_sum(0, icmp, packet->length)));
    ip_finish(answer, PROTOCOL_ICMP, packet->target, packet->source, packet->length);
}

static void take_dhcp(const struct service *service, const uint8_t *data, uint32_t length,
                      struct answer *answer)
{
    static const uint8_t to_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct dhcp_answer dhcp;

    if (!dhcp_answer(&service->lease, data, length, &dhcp))
        return;
    frame_begin(answer, dhcp.to == IP_TO_ALL ? to_all : service->lease.mac, TYPE_IP);
    memcpy(udp_data(answer), dhcp.bytes, dhcp.length);
    udp_finish(answer, service->lease.server, PORT_DHCP_SERVER, dhcp.to, PORT_DHCP_CLIENT,
               dhcp.length);
}

/* Returns whether the datagram was the service's. */
static bool take_udp(const struct service *service, const struct packet *packet,
                     struct answer *answer)
{
    bool ours = packet->target == service->lease.server;
    uint32_t length;
    uint16_t port;

    if (packet->length < UDP_SIZE)
        return ours;
    port = load_be16(packet->data + 2);
    length = load_be16(packet->data + 4);
    if (length < UDP_SIZE || length > packet->length)
        return ours;
    if (port == PORT_DHCP_SERVER && (ours || packet->target == IP_TO_ALL)) {
        take_dhcp(service, packet->data + UDP_SIZE, length - UDP_SIZE, answer);
        return true;
    }
    if (!ours || port != PORT_DNS)
        return ours;
    length =
        dns_answer(&service->zone, packet->data + UDP_SIZE, length - UDP_SIZE, udp_data(answer));
    if (length)
        udp_finish(answer, packet->target, PORT_DNS, packet->source, load_be16(packet->data),
                   length);
    return true;
}

static bool packet_parse(const uint8_t *ip, uint32_t length, struct packet *packet)
{
    uint32_t header, whole;

    if (length < IP_SIZE || ip[0] >> 4 != 4)
        return false;
    header = (ip[0] & 15u) * 4;
    whole = load_be16(ip + IP_LENGTH);
    if (header < IP_SIZE || whole < header || whole > length ||
        load_be16(ip + IP_FRAGMENT) & IP_FRAGMENTED)
        return false;
    *packet = (struct packet){.source = load_be32(ip + IP_SOURCE),
                              .target = load_be32(ip + IP_TARGET),
                              .protocol = ip[IP_PROTOCOL],
                              .data = ip + header,
                              .length = whole - header};
    return true;
}

static bool take_ip(const struct service *service, const uint8_t *ip, uint32_t length,
                    struct answer *answer)
{
    struct packet packet;

    if (!packet_parse(ip, length, &packet))
        return false;
    if (packet.protocol == PROTOCOL_UDP)
        return take_udp(service, &packet, answer);
    if (packet.target != service->lease.server)
        return false;
    if (packet.protocol == PROTOCOL_ICMP)
        take_echo(&packet, answer);
    return true;
}

bool service_take(const struct service *service, const uint8_t *frame, uint32_t length,
                  uint8_t bytes[SERVICE_ANSWER_MAX], uint32_t *answer_length)
{
    struct answer answer = {.frame = bytes};
    bool taken = false;

    *answer_length = 0;
    if (length < FRAME_HEADER_SIZE)
        return false;
    /* To who sent it, unless the protocol says otherwise. */
    frame_begin(&answer, frame + 6, TYPE_IP);
    if (load_be16(frame + 12) == TYPE_ARP)
        taken = take_arp(service, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &answer);
    else if (load_be16(frame + 12) == TYPE_IP)
        taken = take_ip(service, frame + FRAME_HEADER_SIZE, length - FRAME_HEADER_SIZE, &answer);
    *answer_length = answer.length;
    /* At other ports nobody has this address. */
    return taken || !memcmp(frame, service_mac, sizeof(service_mac));
}

bool service_is_forged(const struct service *service, const uint8_t *frame, uint32_t length)
{
    const uint8_t *data = frame + FRAME_HEADER_SIZE;

    if (length < FRAME_HEADER_SIZE)
        return false;
    if (!memcmp(frame + 6, service_mac, sizeof(service_mac)))
        return true;
    length -= FRAME_HEADER_SIZE;
    if (load_be16(frame + 12) == TYPE_ARP)
        return length >= ARP_SIZE && load_be32(data + ARP_SENDER) == service->lease.server;
    return load_be16(frame + 12) == TYPE_IP && length >= IP_SIZE &&
           load_be32(data + IP_SOURCE) == service->lease.server;
}
