/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/option.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 31

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned option_distance(const char *a, const char *b)
{
    /* Optimal string alignment: three rows of the edit table are enough to see a swap. */
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2], *swap;
    unsigned length_a = least((unsigned)strlen(a), WORD_MAX);
    unsigned length_b = least((unsigned)strlen(b), WORD_MAX);

    for (unsigned j = 0; j <= length_b; j++)
        last[j] = before[j] = j;
    for (unsigned i = 1; i <= length_a; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= length_b; j++) {
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        swap = before;
        before = last;
        last = row;
        row = swap;
    }
    return last[length_b];
}

unsigned option_nearness(const char *typed, const char *known)
{
    size_t dashes = strspn(typed, "-"), letters = strlen(typed) - dashes;
    unsigned distance;

    if (letters == 0)
        return 0;
    /* A word cut short ("--mem") is many letters away from what it stands for. */
    if (letters >= 2 && strncmp(typed, known, strlen(typed)) == 0)
        return 1;
    distance = option_distance(typed, known);
    return distance <= 1 + letters / 4 && distance < letters ? distance : 0;
}

static const struct option option_help = {.name = "--help", .alias = "-h"};

static const struct option *option_nearest(const struct option *options, const char *typed)
{
    const struct option *nearest = NULL;
    unsigned best = WORD_MAX, nearness;

    for (const struct option *o = options; o->name; o++) {
        nearness = option_nearness(typed, o->name);
        if (nearness && nearness < best) {
            best = nearness;
            nearest = o;
        }
    }
    nearness = option_nearness(typed, option_help.name);
    return nearness && nearness < best ? &option_help : nearest;
}

struct option_walk option_walk_begin(const struct command *command, int argc, char **argv)
{
    return (struct option_walk){.command = command, .argc = argc, .argv = argv};
}

static bool option_is(const struct option *option, const char *word, size_t length)
{
    return (strlen(option->name) == length && strncmp(option->name, word, length) == 0) ||
           (option->alias && strlen(option->alias) == length &&
            strncmp(option->alias, word, length) == 0);
}

static const struct option *option_find(const struct option *options, const char *word,
                                        size_t length)
{
    for (const struct option *o = options; o->name; o++) {
        if (option_is(o, word, length))
            return o;
    }
    return NULL;
}

/* A whole word that is an option is no value of the option before it, which lacks its own. */
static bool option_is_known(const struct option *options, const char *word)
{
    return option_find(options, word, strlen(word)) || option_is(&option_help, word, strlen(word));
}

/* Splits "--name=value" and "-nvalue"; *value is NULL when the argument holds none. */
static const struct option *option_split(const struct option *options, const char *word,
                                         size_t *length, const char **value)
{
    const char *equals = strchr(word, '=');

    *value = NULL;
    if (strncmp(word, "--", 2) == 0) {
        *length = equals ? (size_t)(equals - word) : strlen(word);
        *value = equals ? equals + 1 : NULL;
    } else {
        *length = 2;
        *value = word[2] ? word + 2 : NULL;
    }
    return option_find(options, word, *length);
}

static int option_unknown(const struct option_walk *walk, const char *word, size_t length,
                          struct error *error)
{
    char typed[WORD_MAX + 1];
    const struct option *nearest;

    length = strncmp(word, "--", 2) == 0 ? length : strlen(word);
    length = length < WORD_MAX ? length : WORD_MAX;
    memcpy(typed, word, length);
    typed[length] = 0;
    nearest = option_nearest(walk->command->options, typed);
    if (nearest)
        return error_usage(error, "unknown option '%s'; did you mean '%s'?", typed, nearest->name);
    return error_usage(error, "unknown option '%s'; see: hospes %s --help", typed,
                       walk->command->name);
}

int option_next(struct option_walk *walk, struct error *error)
{
    const struct option *options = walk->command->options;
    const char *word, *value;
    size_t length;
    uint64_t bit;

    walk->option = NULL;
    walk->value = NULL;
    if (walk->index >= walk->argc)
        return OPTION_END;
    word = walk->argv[walk->index++];
    if (!walk->only_operands && strcmp(word, "--") == 0) {
        walk->only_operands = true;
        return option_next(walk, error);
    }
    if (walk->only_operands || word[0] != '-' || word[1] == 0) {
        walk->value = word;
        return OPTION_OPERAND;
    }

    if (option_is(&option_help, word, strlen(word)))
        return OPTION_HELP;
    walk->option = option_split(options, word, &length, &value);
    if (!walk->option)
        return option_unknown(walk, word, length, error);
    bit = 1ull << (walk->option - options);
    if (!walk->option->repeat && (walk->seen & bit))
        return error_usage(error, "option '%s' was given twice; give it once", walk->option->name);
    walk->seen |= bit;

    if (!walk->option->value) {
        if (value)
            return error_usage(error, "option '%.*s' takes no value; leave out '%s'", (int)length,
                               word, word + length);
        return OPTION_GIVEN;
    }
    if (!value && walk->index < walk->argc && !option_is_known(options, walk->argv[walk->index]))
        value = walk->argv[walk->index++];
    if (!value)
        return error_usage(error, "option '%.*s' needs a value: %.*s %s", (int)length, word,
                           (int)length, word, walk->option->value);
    walk->value = value;
    return OPTION_GIVEN;
}

bool option_asks_help(const struct command *command, int argc, char **argv)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    int kind;

    do {
        kind = option_next(&walk, NULL);
    } while (kind == OPTION_GIVEN || kind == OPTION_OPERAND);
    return kind == OPTION_HELP;
}

int option_number(const struct option_walk *walk, unsigned low, unsigned high, unsigned *number,
                  struct error *error)
{
    unsigned long value;
    char *end;

    errno = 0;
    value = strtoul(walk->value, &end, 10);
    if (!isdigit((unsigned char)walk->value[0]) || *end || errno || value < low || value > high)
        return error_usage(error, "'%s' takes a number from %u to %u, not \"%s\"",
                           walk->option->name, low, high, walk->value);
    *number = (unsigned)value;
    return 0;
}

int option_none(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    int kind = option_next(&walk, error);

    if (kind == OPTION_OPERAND)
        return error_usage(error, "unexpected argument \"%s\"; see: hospes %s --help", walk.value,
                           command->name);
    return kind;
}
