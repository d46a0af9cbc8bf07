/* SPDX-License-Identifier: Apache-2.0 */
#include "host/agent_guest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/agent_parts.h"

/* Of what a guest says of itself; it may say anything. */
enum { INTERFACES_MAX = 64, ADDRESSES_MAX = 64, TEXT_MAX_BYTES = 128, ADDRESS_MAX_BYTES = 132 };
#define DESCRIPTION_MAX (1u << 20)

/* All file systems are written out first. */
enum { FREEZE_MS = 60000 };

/* What a reader hands over of a guest: texts, each with what it is and its length in front. */
enum what {
    WHAT_HOST_NAME,
    WHAT_SYSTEM,
    WHAT_INTERFACES, /* it has a list of them, and here it begins */
    WHAT_INTERFACE,
    WHAT_MAC,
    WHAT_ADDRESS,
};

/* ---- in the reader ---- */

static void put_bytes(struct reader_answer *answer, enum what what, const char *text, size_t length)
{
    reader_put_number(answer, what);
    reader_put_bytes(answer, text, length);
}

/* At most TEXT_MAX_BYTES of it, and not to the middle of a character. */
static size_t length_of(const char *text)
{
    size_t length = strnlen(text, TEXT_MAX_BYTES);

    while (length && text[length] && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

/* If it is a text. */
static void put_text(struct reader_answer *answer, enum what what, const json_t *from)
{
    const char *text = json_string_value(from);

    if (text)
        put_bytes(answer, what, text, length_of(text));
}

static void put_address(struct reader_answer *answer, const json_t *from)
{
    const char *text = json_string_value(json_object_get(from, "ip-address"));
    json_int_t prefix = json_integer_value(json_object_get(from, "prefix"));
    char address[ADDRESS_MAX_BYTES + 1];

    if (!text || prefix < 0 || prefix > 128)
        return;
    snprintf(address, sizeof(address), "%.*s/%d", (int)length_of(text), text, (int)prefix);
    put_bytes(answer, WHAT_ADDRESS, address, strlen(address));
}

static void put_interface(struct reader_answer *answer, const json_t *from)
{
    const json_t *entry;
    size_t i;

    put_text(answer, WHAT_INTERFACE, json_object_get(from, "name"));
    put_text(answer, WHAT_MAC, json_object_get(from, "hardware-address"));
    json_array_foreach(json_object_get(from, "ip-addresses"), i, entry)
    {
        if (i < ADDRESSES_MAX)
            put_address(answer, entry);
    }
}

static void put_interfaces(struct reader_answer *answer, const json_t *list)
{
    const json_t *entry;
    size_t i;

    put_bytes(answer, WHAT_INTERFACES, "", 0);
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));

        if (i < INTERFACES_MAX && name && strcmp(name, "lo") != 0)
            put_interface(answer, entry);
    }
}

/* What the agent does not know is no failure. */
static int ask(struct lines *lines, const char *command, unsigned timeout_ms, json_t **result,
               struct error *error)
{
    CLEANUP(error_release) struct error refused = ERROR_INIT;
    int r = agent_call(lines, command, NULL, timeout_ms, result, &refused);

    if (!r || r == -EREMOTEIO)
        return 0;
    return error_set(error, -r, "%s", refused.message ? refused.message : error_words(-r));
}

static int describe(void *ctx, struct lines *lines, struct reader_answer *answer,
                    struct error *error)
{
    const unsigned timeout_ms = *(const unsigned *)ctx;
    CLEANUP(json_decrefp) json_t *name = NULL;
    CLEANUP(json_decrefp) json_t *system = NULL;
    CLEANUP(json_decrefp) json_t *network = NULL;
    int r = ask(lines, "guest-get-host-name", timeout_ms, &name, error);

    if (!r)
        r = ask(lines, "guest-get-osinfo", timeout_ms, &system, error);
    if (!r)
        r = ask(lines, "guest-network-get-interfaces", timeout_ms, &network, error);
    if (r)
        return r;
    put_text(answer, WHAT_HOST_NAME, json_object_get(name, "host-name"));
    put_text(answer, WHAT_SYSTEM, json_object_get(system, "pretty-name"));
    if (json_is_array(network))
        put_interfaces(answer, network);
    return 0;
}

/* ---- in the command ---- */

/* For a person's terminal, whatever the reader has become. NULL: it is no text. */
static json_t *take_text(struct reader_answer *answer)
{
    char kept[ADDRESS_MAX_BYTES];
    size_t length;
    const char *text = reader_get_bytes(answer, sizeof(kept), &length);

    if (!text)
        return NULL;
    for (size_t i = 0; i < length; i++)
        kept[i] = text_shown(text[i]);
    return json_stringn(kept, length);
}

static int append_interface(json_t *guest, json_t *name)
{
    CLEANUP(json_decrefp) json_t *interface = json_pack("{s:o, s:[]}", "name", name, "addresses");
    json_t *all = json_object_get(guest, "interfaces");

    return json_array_size(all) < INTERFACES_MAX ? json_array_append(all, interface) : -1;
}

/* The text is taken over. */
static int describe_as(json_t *guest, uint64_t what, json_t *text)
{
    const json_t *all = json_object_get(guest, "interfaces");
    json_t *last = json_array_get(all, json_array_size(all) - 1);
    json_t *addresses = json_object_get(last, "addresses");
    int r = -1;

    switch (what) {
    case WHAT_HOST_NAME:
        return json_object_set_new(guest, "host_name", text);
    case WHAT_SYSTEM:
        return json_object_set_new(guest, "system", text);
    case WHAT_INTERFACES:
        r = json_object_set_new(guest, "interfaces", json_array());
        break;
    case WHAT_INTERFACE:
        return append_interface(guest, text);
    case WHAT_MAC:
        return json_object_set_new(last, "mac", text);
    case WHAT_ADDRESS:
        if (json_array_size(addresses) < ADDRESSES_MAX)
            r = json_array_append(addresses, text);
        break;
    }
    json_decref(text);
    return r;
}

/* NULL: it is no description. */
static json_t *take_guest(struct reader_answer *answer)
{
    json_t *guest = json_object();

    while (guest && answer->at < answer->size) {
        uint64_t what;
        json_t *text = reader_get_number(answer, &what) ? take_text(answer) : NULL;

        if (!text || describe_as(guest, what, text)) {
            json_decref(guest);
            return NULL;
        }
    }
    return guest;
}

int agent_describe(struct agent *agent, unsigned timeout_ms, json_t **guest, struct error *error)
{
    const struct agent_question question = {.body = describe,
                                            .ctx = &timeout_ms,
                                            .file = -1,
                                            .answer_max = DESCRIPTION_MAX,
                                            .timeout_ms = 3 * timeout_ms};
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    int r = agent_ask(agent, &question, &answer, error);

    if (r)
        return r;
    *guest = take_guest(&answer);
    return *guest ? 0 : error_set(error, EPROTO, "what the guest says of itself cannot be read");
}

/* In the reader. `ctx`: the command. */
static int count(void *ctx, struct lines *lines, struct reader_answer *answer, struct error *error)
{
    const char *const *command = ctx;
    CLEANUP(json_decrefp) json_t *result = NULL;
    int r = agent_call(lines, *command, NULL, FREEZE_MS, &result, error);
    json_int_t n = json_integer_value(result);

    if (!r && !json_is_integer(result))
        r = error_set(error, EPROTO, "the guest's agent did not say how many file systems");
    reader_put_number(answer, (uint64_t)n);
    return r;
}

static int count_of(struct agent *agent, const char *command, unsigned *count_told,
                    struct error *error)
{
    const struct agent_question question = {.body = count,
                                            .ctx = &command,
                                            .file = -1,
                                            .answer_max = sizeof(uint64_t),
                                            .timeout_ms = FREEZE_MS};
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    int r = agent_ask(agent, &question, &answer, error);
    uint64_t n = 0;

    if (!r && (!reader_get_number(&answer, &n) || n > INT_MAX))
        r = error_set(error, EPROTO, "the guest's agent did not say how many file systems");
    *count_told = (unsigned)n;
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
