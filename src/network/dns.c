/* SPDX-License-Identifier: Apache-2.0 */
#include "network/dns.h"

#include <string.h>

#include "network/packet.h"

/* RFC 1035, 4.1.1 */
#define HEADER_SIZE    12u
#define FLAG_RESPONSE  0x8000u
#define FLAG_AUTHORITY 0x0400u
#define FLAG_RECURSION 0x0100u
#define OPCODE_MASK    0x7800u

enum { RCODE_NONE = 0, RCODE_FORMAT = 1, RCODE_NAME = 3, RCODE_KIND = 4, RCODE_REFUSED = 5 };

/* 3.2.2 to 3.2.5 */
enum { TYPE_A = 1, TYPE_ANY = 255, CLASS_IN = 1, CLASS_ANY = 255 };

#define LABEL_MAX           63u
#define ENCODED_MAX         255u                    /* 2.3.4: a name with its length bytes */
#define POINTER_TO_QUESTION (0xc000u | HEADER_SIZE) /* 4.1.4 */

/* Machines come and go. */
#define TTL_SECONDS 5u

struct question {
    char name[DNS_NAME_MAX + 1]; /* lower case, labels divided by dots */
    uint16_t type, class;
    uint32_t end; /* behind it, in the query */
};

/* No machine has a name with other bytes; a label with a dot in it must not look like two. */
static char name_byte(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return (char)(byte - 'A' + 'a');
    return byte > ' ' && byte < 0x7f && byte != '.' ? (char)byte : '?';
}

/* 4.1.2. A question comes first, so there is nothing yet that it could point to. */
static bool question_parse(const uint8_t *query, uint32_t length, struct question *question)
{
    uint32_t at = HEADER_SIZE, used = 0;

    for (;;) {
        uint32_t label;

        if (at >= length)
            return false;
        label = query[at++];
        if (!label)
            break;
        if (label > LABEL_MAX || label > length - at || at + label + 1 - HEADER_SIZE > ENCODED_MAX)
            return false;
        if (used)
            question->name[used++] = '.';
        while (label--)
            question->name[used++] = name_byte(query[at++]);
    }
    question->name[used] = 0;
    if (length - at < 4)
        return false;
    question->type = load_be16(query + at);
    question->class = load_be16(query + at + 2);
    question->end = at + 4;
    return true;
}

/* Cuts ".NETWORK" off. False: the name is of another domain. */
static bool zone_cut(const struct dns_zone *zone, char *name)
{
    size_t length = strlen(name), domain = strlen(zone->network);

    if (length > domain + 1 && name[length - domain - 1] == '.' &&
        !strcmp(name + length - domain, zone->network)) {
        name[length - domain - 1] = 0;
        return true;
    }
    return !strchr(name, '.');
}

/* *address stays 0 where there is a name without one. */
static unsigned zone_find(const struct dns_zone *zone, struct question *question, uint32_t *address)
{
    if (question->class != CLASS_IN && question->class != CLASS_ANY)
        return RCODE_REFUSED;
    /* A machine's name may have dots, so it is looked for first. */
    if (zone->find(zone->ctx, question->name, address))
        return RCODE_NONE;
    /* Were the domain itself denied, nothing could be below it (RFC 8020). */
    if (!strcmp(question->name, zone->network))
        return RCODE_NONE;
    if (!zone_cut(zone, question->name))
        return RCODE_REFUSED;
    return zone->find(zone->ctx, question->name, address) ? RCODE_NONE : RCODE_NAME;
}

static uint32_t answer_begin(const uint8_t *query, unsigned rcode, uint8_t *answer)
{
    uint16_t asked = load_be16(query + 2);

    memset(answer, 0, HEADER_SIZE);
    memcpy(answer, query, 2);
    store_be16(answer + 2,
               (uint16_t)(FLAG_RESPONSE | (asked & (OPCODE_MASK | FLAG_RECURSION)) |
                          (rcode == RCODE_NONE || rcode == RCODE_NAME ? FLAG_AUTHORITY : 0) |
                          rcode));
    return HEADER_SIZE;
}

uint32_t dns_answer(const struct dns_zone *zone, const uint8_t *query, uint32_t length,
                    uint8_t answer[DNS_ANSWER_MAX])
{
    struct question question;
    uint32_t address = 0, at;
    unsigned rcode;

    /* An answer to an answer would go on for ever. */
    if (length < HEADER_SIZE || load_be16(query + 2) & FLAG_RESPONSE)
        return 0;
    if (load_be16(query + 2) & OPCODE_MASK)
        return answer_begin(query, RCODE_KIND, answer);
    if (load_be16(query + 4) != 1 || !question_parse(query, length, &question))
        return answer_begin(query, RCODE_FORMAT, answer);
    rcode = zone_find(zone, &question, &address);
    answer_begin(query, rcode, answer);
    store_be16(answer + 4, 1);
    /* At most 12 + 255 + 4 bytes, and 16 for the record. */
    at = question.end;
    memcpy(answer + HEADER_SIZE, query + HEADER_SIZE, at - HEADER_SIZE);
    if (!address || (question.type != TYPE_A && question.type != TYPE_ANY))
        return at;
    store_be16(answer + 6, 1);
    store_be16(answer + at, POINTER_TO_QUESTION);
    store_be16(answer + at + 2, TYPE_A);
    store_be16(answer + at + 4, CLASS_IN);
    store_be32(answer + at + 6, TTL_SECONDS);
    store_be16(answer + at + 10, sizeof(address));
    store_be32(answer + at + 12, address);
    return at + 16;
}
