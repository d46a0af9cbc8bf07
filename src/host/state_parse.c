/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json as a machine's process writes it. A guest may have that process, and every command
 * that looks at a machine reads the file with all rights of its user, where a reader (reader.h)
 * for each machine of a list would take longer than all else: so this takes one flat object of
 * texts without escapes, numbers and words, in one pass, and nothing more of JSON.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/text.h"
#include "host/state.h"

/* Of the text; not ended by a zero byte. */
struct token {
    const char *at;
    size_t length;
    bool quoted;
};

static void skip_space(const char **at)
{
    *at += strspn(*at, " \n\r\t");
}

static bool take(const char **at, char c)
{
    skip_space(at);
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_text(const char **at, struct token *token)
{
    if (!take(at, '"'))
        return false;
    *token = (struct token){.at = *at, .quoted = true};
    for (; **at != '"'; (*at)++)
        if (text_is_control(**at) || **at == '\\')
            return false;
    token->length = (size_t)(*at - token->at);
    (*at)++;
    return true;
}

static bool take_value(const char **at, struct token *token)
{
    skip_space(at);
    if (**at == '"')
        return take_text(at, token);
    *token =
        (struct token){.at = *at, .length = strspn(*at, "-0123456789abcdefghijklmnopqrstuvwxyz")};
    *at += token->length;
    return token->length;
}

static bool token_is(const struct token *token, const char *text)
{
    return token->length == strlen(text) && !memcmp(token->at, text, token->length);
}

/* 0: it is none. */
static long number_of(const struct token *token)
{
    char text[16] = "", *end;
    long number;

    if (token->quoted || token->length >= sizeof(text))
        return 0;
    memcpy(text, token->at, token->length);
    number = strtol(text, &end, 10);
    return *end || number < INT32_MIN || number > INT32_MAX ? 0 : number;
}

/* The index of the word, or 0. */
static unsigned word_of(const struct token *token, const char *(*name)(unsigned), unsigned count)
{
    for (unsigned i = 0; token->quoted && i < count; i++)
        if (token_is(token, name(i)))
            return i;
    return 0;
}

static const char *kind_name(unsigned kind)
{
    return state_name((enum state_kind)kind);
}

static const char *end_name(unsigned end)
{
    return state_end_name((enum state_end)end);
}

enum key { KEY_VERSION, KEY_STATE, KEY_PID, KEY_END, KEY_STATUS, KEY_MERGING, KEY_SINCE, KEYS };

static const char *const keys[KEYS] = {"version", "state",   "pid",  "end",
                                       "status",  "merging", "since"};

static void set(struct state *state, long *version, enum key key, const struct token *value)
{
    switch (key) {
    case KEY_VERSION:
        *version = number_of(value);
        break;
    case KEY_STATE:
        state->kind = (enum state_kind)word_of(value, kind_name, STATE_BUSY + 1);
        break;
    case KEY_PID:
        state->pid = (pid_t)number_of(value);
        break;
    case KEY_END:
        state->end = (enum state_end)word_of(value, end_name, STATE_END_KILLED + 1);
        break;
    case KEY_STATUS:
        state->status = (int)number_of(value);
        break;
    case KEY_MERGING:
        state->merging = !value->quoted && token_is(value, "true");
        break;
    case KEY_SINCE:
        if (value->quoted)
            memcpy(state->since, value->at, lesser(value->length, STATE_TIME_SIZE - 1));
        break;
    case KEYS:
        break;
    }
}

static enum key key_of(const struct token *token)
{
    unsigned key = 0;

    while (key < KEYS && !token_is(token, keys[key]))
        key++;
    return (enum key)key;
}

bool state_parse(const char *text, struct state *state)
{
    struct state found = {.kind = STATE_STOPPED};
    struct token name, value;
    unsigned seen = 0;
    long version = 0;

    if (!take(&text, '{'))
        return false;
    do {
        enum key key;

        if (!take_text(&text, &name) || !take(&text, ':') || !take_value(&text, &value))
            return false;
        key = key_of(&name);
        if (key < KEYS && seen >> key & 1)
            return false;
        seen |= 1u << key;
        set(&found, &version, key, &value);
    } while (take(&text, ','));
    if (!take(&text, '}') || version != STATE_VERSION)
        return false;
    skip_space(&text);
    if (*text)
        return false;
    *state = found;
    return true;
}
