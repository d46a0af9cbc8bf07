/* SPDX-License-Identifier: Apache-2.0 */
#include "network/learn.h"

#include <string.h>

#include "base/error.h"

/* 0 is what marks a free place, and no interface's address. */
static uint64_t address_key(const uint8_t address[6])
{
    uint64_t key = 0;

    for (unsigned i = 0; i < 6; i++)
        key = key << 8 | address[i];
    return key;
}

static unsigned chain_of(const struct learn *learn, uint64_t key)
{
    uint64_t mixed = (key ^ learn->secret) * UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 29 ^ learn->secret) * UINT64_C(0xbf58476d1ce4e5b9);
    return (unsigned)(mixed >> 40) % LEARN_CHAINS;
}

void learn_init(struct learn *learn, uint64_t secret)
{
    memset(learn, 0, sizeof(*learn));
    learn->secret = secret;
}

/* The number of its entry + 1; 0: there is none. */
static unsigned learn_number(const struct learn *learn, uint64_t key)
{
    unsigned at = learn->chains[chain_of(learn, key)];

    while (at && learn->entries[at - 1].address != key)
        at = learn->entries[at - 1].next;
    return at;
}

static unsigned port_of(const struct learn *learn, const struct learn_entry *entry)
{
    return (unsigned)(entry - learn->entries) / LEARN_PORT_ADDRESSES;
}

static void entry_remove(struct learn *learn, struct learn_entry *entry)
{
    uint16_t number = (uint16_t)(entry - learn->entries + 1);
    uint16_t *at = &learn->chains[chain_of(learn, entry->address)];

    while (*at != number)
        at = &learn->entries[*at - 1].next;
    *at = entry->next;
    entry->address = 0;
}

/* A free place of the port, or the one that was not seen for the longest time. */
static struct learn_entry *entry_choose(struct learn *learn, unsigned port)
{
    struct learn_entry *run = &learn->entries[port * LEARN_PORT_ADDRESSES], *oldest = run;

    for (unsigned i = 0; i < LEARN_PORT_ADDRESSES; i++) {
        if (!run[i].address)
            return &run[i];
        if (run[i].seen_ns < oldest->seen_ns)
            oldest = &run[i];
    }
    entry_remove(learn, oldest);
    return oldest;
}

void learn_note(struct learn *learn, const uint8_t address[6], unsigned port, uint64_t now_ns)
{
    uint64_t key = address_key(address);
    unsigned number = learn_number(learn, key);
    struct learn_entry *entry = number ? &learn->entries[number - 1] : NULL;
    uint16_t *chain;

    BUG_ON(port >= LEARN_PORTS);
    if (!key)
        return;
    if (entry && port_of(learn, entry) == port) {
        entry->seen_ns = now_ns;
        return;
    }
    if (entry)
        entry_remove(learn, entry);
    entry = entry_choose(learn, port);
    chain = &learn->chains[chain_of(learn, key)];
    *entry = (struct learn_entry){.address = key, .seen_ns = now_ns, .next = *chain};
    *chain = (uint16_t)(entry - learn->entries + 1);
}

int learn_find(const struct learn *learn, const uint8_t address[6], uint64_t now_ns)
{
    uint64_t key = address_key(address);
    unsigned number = key ? learn_number(learn, key) : 0;

    if (!number || now_ns - learn->entries[number - 1].seen_ns >= LEARN_AGE_NS)
        return -1;
    return (int)port_of(learn, &learn->entries[number - 1]);
}

void learn_forget(struct learn *learn, unsigned port)
{
    struct learn_entry *run = &learn->entries[port * LEARN_PORT_ADDRESSES];

    BUG_ON(port >= LEARN_PORTS);
    for (unsigned i = 0; i < LEARN_PORT_ADDRESSES; i++)
        if (run[i].address)
            entry_remove(learn, &run[i]);
}
