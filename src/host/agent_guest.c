/* SPDX-License-Identifier: Apache-2.0 */
#include "host/agent_guest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of what a guest says of itself; it may say anything. */
enum { INTERFACES_MAX = 64, ADDRESSES_MAX = 64, TEXT_MAX_BYTES = 128 };

/* All file systems are written out first. */
enum { FREEZE_MS = 60000 };

/* At most TEXT_MAX_BYTES of it, for a person's terminal; NULL: it is no text. */
static json_t *text_of(const json_t *from)
{
    const char *text = json_string_value(from);
    char kept[TEXT_MAX_BYTES + 1];
    size_t length = 0;

    if (!text)
        return NULL;
    for (; text[length] && length < TEXT_MAX_BYTES; length++) {
        unsigned char c = (unsigned char)text[length];

        kept[length] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    /* Not in the middle of a character. */
    while (length && text[length] && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    kept[length] = 0;
    return json_string(kept);
}

/* Adds it, if there is something to add. */
static void put(json_t *to, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(to, key, value);
}

static json_t *address_of(const json_t *from)
{
    CLEANUP(json_decrefp) json_t *address = text_of(json_object_get(from, "ip-address"));
    json_int_t prefix = json_integer_value(json_object_get(from, "prefix"));

    if (!address || prefix < 0 || prefix > 128)
        return NULL;
    return json_sprintf("%s/%d", json_string_value(address), (int)prefix);
}

static json_t *interface_of(const json_t *from)
{
    const json_t *list = json_object_get(from, "ip-addresses"), *entry;
    json_t *addresses = json_array(), *interface = json_object();
    size_t i;

    json_array_foreach(list, i, entry)
    {
        json_t *address = i < ADDRESSES_MAX ? address_of(entry) : NULL;

        if (address)
            json_array_append_new(addresses, address);
    }
    put(interface, "name", text_of(json_object_get(from, "name")));
    put(interface, "mac", text_of(json_object_get(from, "hardware-address")));
    put(interface, "addresses", addresses);
    return interface;
}

static json_t *interfaces_of(const json_t *list)
{
    json_t *interfaces = json_array();
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));

        if (i < INTERFACES_MAX && name && strcmp(name, "lo") != 0)
            json_array_append_new(interfaces, interface_of(entry));
    }
    return interfaces;
}

/* What the agent does not know is no failure. */
static int ask(struct agent *agent, const char *command, unsigned timeout_ms, json_t **result,
               struct error *error)
{
    CLEANUP(error_release) struct error refused = ERROR_INIT;
    int r = agent_call(agent, command, NULL, timeout_ms, result, &refused);

    if (!r || r == -EREMOTEIO)
        return 0;
    return error_set(error, -r, "%s", refused.message ? refused.message : error_words(-r));
}

int agent_describe(struct agent *agent, unsigned timeout_ms, json_t **guest, struct error *error)
{
    CLEANUP(json_decrefp) json_t *name = NULL;
    CLEANUP(json_decrefp) json_t *system = NULL;
    CLEANUP(json_decrefp) json_t *network = NULL;
    int r = ask(agent, "guest-get-host-name", timeout_ms, &name, error);

    if (!r)
        r = ask(agent, "guest-get-osinfo", timeout_ms, &system, error);
    if (!r)
        r = ask(agent, "guest-network-get-interfaces", timeout_ms, &network, error);
    if (r)
        return r;
    *guest = json_object();
    put(*guest, "host_name", text_of(json_object_get(name, "host-name")));
    put(*guest, "system", text_of(json_object_get(system, "pretty-name")));
    if (json_is_array(network))
        put(*guest, "interfaces", interfaces_of(network));
    return *guest ? 0 : error_set(error, ENOMEM, "out of memory");
}

static int count_of(struct agent *agent, const char *command, unsigned *count, struct error *error)
{
    CLEANUP(json_decrefp) json_t *result = NULL;
    int r = agent_call(agent, command, NULL, FREEZE_MS, &result, error);
    json_int_t n = json_integer_value(result);

    if (!r && (!json_is_integer(result) || n < 0 || n > INT_MAX))
        r = error_set(error, EPROTO, "the guest's agent did not say how many file systems");
    *count = (unsigned)n;
    return r;
}

int agent_freeze(struct agent *agent, unsigned *count, struct error *error)
{
    return count_of(agent, "guest-fsfreeze-freeze", count, error);
}

int agent_thaw(struct agent *agent, unsigned *count, struct error *error)
{
    return count_of(agent, "guest-fsfreeze-thaw", count, error);
}
