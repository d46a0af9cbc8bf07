/* SPDX-License-Identifier: Apache-2.0 */
#include "network/dhcp.h"

#include <string.h>

#include "network/packet.h"

/* RFC 2131, 2: the fixed part, up to the options. */
enum {
    AT_OP = 0,
    AT_HTYPE = 1,
    AT_HLEN = 2,
    AT_XID = 4,
    AT_FLAGS = 10,
    AT_CIADDR = 12,
    AT_YIADDR = 16,
    AT_GIADDR = 24,
    AT_CHADDR = 28,
    AT_MAGIC = 236,
    AT_OPTIONS = 240,
};

enum { OP_REQUEST = 1, OP_REPLY = 2, HTYPE_ETHERNET = 1 };

#define FLAG_BROADCAST 0x8000u
#define MAGIC          0x63825363u
#define TO_ALL         0xffffffffu
/* RFC 1542, 2.1: some clients take nothing shorter. */
#define MESSAGE_MIN 300u
/* The address is the guest's for as long as the network exists; the time only makes the client ask
 * again. */
#define LEASE_SECONDS 86400u

/* RFC 2132 */
enum option {
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_DNS = 6,
    OPTION_HOST = 12,
    OPTION_DOMAIN = 15,
    OPTION_BROADCAST = 28,
    OPTION_REQUESTED = 50,
    OPTION_SECONDS = 51,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_END = 255,
};

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6, INFORM = 8 };

/* 0: the client did not say. */
struct request {
    unsigned type;
    uint32_t requested, server;
    uint32_t address; /* that it has */
    uint16_t flags;
};

/* RFC 2132, 2. Options in the fields "file" and "sname" are for those that are too long, which none
 * of these is. */
static bool options_parse(const uint8_t *message, uint32_t length, struct request *request)
{
    uint32_t at = AT_OPTIONS;

    while (at < length && message[at] != OPTION_END) {
        const uint8_t *value = message + at + 2;
        unsigned option = message[at], size;

        if (option == OPTION_PAD) {
            at++;
            continue;
        }
        if (length - at < 2 || message[at + 1] > length - at - 2)
            return false;
        size = message[at + 1];
        if (option == OPTION_TYPE && size == 1)
            request->type = value[0];
        else if (option == OPTION_REQUESTED && size == 4)
            request->requested = load_be32(value);
        else if (option == OPTION_SERVER && size == 4)
            request->server = load_be32(value);
        at += 2 + size;
    }
    return true;
}

static bool request_parse(const struct dhcp_lease *lease, const uint8_t *message, uint32_t length,
                          struct request *request)
{
    if (length < AT_OPTIONS || message[AT_OP] != OP_REQUEST ||
        message[AT_HTYPE] != HTYPE_ETHERNET || message[AT_HLEN] != PACKET_MAC_SIZE ||
        load_be32(message + AT_MAGIC) != MAGIC)
        return false;
    /* There are no relays here, and one address for one interface. */
    if (load_be32(message + AT_GIADDR) ||
        memcmp(message + AT_CHADDR, lease->mac, sizeof(lease->mac)) != 0)
        return false;
    *request = (struct request){.address = load_be32(message + AT_CIADDR),
                                .flags = load_be16(message + AT_FLAGS)};
    return options_parse(message, length, request);
}

/* RFC 2131, 4.3. The type of the answer; 0: none. */
static unsigned request_judge(const struct dhcp_lease *lease, const struct request *request)
{
    uint32_t address = request->requested ? request->requested : request->address;

    switch (request->type) {
    case DISCOVER:
        return OFFER;
    case REQUEST:
        /* The client chose another server (4.3.2). */
        if (request->server && request->server != lease->server)
            return 0;
        return address == lease->address ? ACK : NAK;
    case INFORM:
        return ACK;
    }
    return 0;
}

static void put(struct dhcp_answer *answer, enum option option, const void *value, size_t size)
{
    uint8_t *at = answer->bytes + answer->length;

    at[0] = (uint8_t)option;
    at[1] = (uint8_t)size;
    memcpy(at + 2, value, size);
    answer->length += 2 + (uint32_t)size;
}

static void put_number(struct dhcp_answer *answer, enum option option, uint32_t number)
{
    uint8_t value[4];

    store_be32(value, number);
    put(answer, option, value, sizeof(value));
}

static void put_options(struct dhcp_answer *answer, const struct dhcp_lease *lease, unsigned type,
                        bool leased)
{
    const uint8_t byte = (uint8_t)type, end = OPTION_END;

    answer->length = AT_OPTIONS;
    put(answer, OPTION_TYPE, &byte, 1);
    put_number(answer, OPTION_SERVER, lease->server);
    if (type != NAK) {
        if (leased)
            put_number(answer, OPTION_SECONDS, LEASE_SECONDS);
        put_number(answer, OPTION_MASK, lease->mask);
        put_number(answer, OPTION_BROADCAST, lease->address | ~lease->mask);
        put_number(answer, OPTION_DNS, lease->server);
        put(answer, OPTION_HOST, lease->host, strnlen(lease->host, 63));
        put(answer, OPTION_DOMAIN, lease->domain, strnlen(lease->domain, 63));
    }
    answer->bytes[answer->length++] = end;
    if (answer->length < MESSAGE_MIN)
        answer->length = MESSAGE_MIN;
}

/* RFC 2131, 4.1: where an answer goes. */
static uint32_t answer_to(const struct dhcp_lease *lease, const struct request *request,
                          unsigned type)
{
    if (type == NAK)
        return TO_ALL;
    if (request->address)
        return request->address;
    return request->flags & FLAG_BROADCAST ? TO_ALL : lease->address;
}

bool dhcp_answer(const struct dhcp_lease *lease, const uint8_t *message, uint32_t length,
                 struct dhcp_answer *answer)
{
    struct request request;
    unsigned type;
    bool leased;

    if (!request_parse(lease, message, length, &request))
        return false;
    type = request_judge(lease, &request);
    if (!type)
        return false;
    /* Who informs itself has an address of its own (4.3.5). */
    leased = type != NAK && request.type != INFORM;
    memset(answer, 0, sizeof(*answer));
    answer->bytes[AT_OP] = OP_REPLY;
    answer->bytes[AT_HTYPE] = HTYPE_ETHERNET;
    answer->bytes[AT_HLEN] = PACKET_MAC_SIZE;
    memcpy(answer->bytes + AT_XID, message + AT_XID, 4);
    store_be16(answer->bytes + AT_FLAGS, request.flags);
    if (type == ACK)
        store_be32(answer->bytes + AT_CIADDR, request.address);
    if (leased)
        store_be32(answer->bytes + AT_YIADDR, lease->address);
    memcpy(answer->bytes + AT_CHADDR, lease->mac, sizeof(lease->mac));
    store_be32(answer->bytes + AT_MAGIC, MAGIC);
    put_options(answer, lease, type, leased);
    answer->to = answer_to(lease, &request, type);
    return true;
}
