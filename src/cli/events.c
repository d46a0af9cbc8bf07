/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes events`: what became of machines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/named.h"
#include "host/reader.h"

enum { EVENTS_FOLLOW = 1, EVENTS_JSON };
enum { LINE_SIZE = 4096 };
/* An escape of JSON is longer than what it stands for, but columns have a width and NULL a name. */
enum { LINE_PRINTED_MAX = 2 * LINE_SIZE, PRINT_MS = 60000 };

/* One machine's, of which lines come in pieces. */
struct source {
    char *name;
    struct follow *file;
    size_t size;
    bool gone; /* its machine was deleted: what it has written is read, and that is all */
    char line[LINE_SIZE];
};

struct line {
    char *text;
    size_t number;
};

struct events {
    struct registry registry;
    const char *name; /* NULL: all machines */
    bool follow, json;
    struct source *sources;
    size_t count;
    struct line *lines; /* of a turn, to be sorted */
    size_t line_count;
};

static int source_add(struct events *events, const char *name)
{
    struct source *grown = realloc(events->sources, (events->count + 1) * sizeof(*grown));
    char *path = registry_var_path(&events->registry, name, "events");
    int r = grown && path ? 0 : -ENOMEM;

    if (grown)
        events->sources = grown;
    if (!r) {
        grown[events->count] = (struct source){.name = strdup(name)};
        r = grown[events->count].name ? follow_new(&grown[events->count].file, path) : -ENOMEM;
        events->count++;
    }
    free(path);
    return r;
}

static void source_release(struct source *source)
{
    follow_free(source->file);
    free(source->name);
}

/* A machine that was deleted holds no file open, however many there were. */
static void sources_forget(struct events *events)
{
    size_t kept = 0;

    for (size_t i = 0; i < events->count; i++)
        if (events->sources[i].gone)
            source_release(&events->sources[i]);
        else
            events->sources[kept++] = events->sources[i];
    events->count = kept;
}

static void sources_mark_gone(struct events *events, const struct registry_names *names)
{
    for (size_t i = 0; i < events->count; i++) {
        bool listed = false;

        for (size_t k = 0; !listed && k < names->count; k++)
            listed = !strcmp(events->sources[i].name, names->names[k]);
        events->sources[i].gone = !listed;
    }
}

static bool source_is_known(const struct events *events, const char *name)
{
    for (size_t i = 0; i < events->count; i++)
        if (!strcmp(events->sources[i].name, name))
            return true;
    return false;
}

/* Machines that are new since the last turn, too. */
static int sources_find(struct events *events, struct error *error)
{
    struct registry_names names = {0};
    int r = 0;

    if (events->name) {
        if (!events->count)
            r = source_add(events, events->name);
        return r ? error_set(error, -r, "out of memory") : 0;
    }
    r = registry_list(&events->registry, &names, error);
    for (size_t i = 0; !r && i < names.count; i++)
        if (!source_is_known(events, names.names[i]) && source_add(events, names.names[i]))
            r = error_set(error, ENOMEM, "out of memory");
    if (!r)
        sources_mark_gone(events, &names);
    registry_names_release(&names);
    return r;
}

static int line_add(struct events *events, const char *line, size_t length)
{
    struct line *grown = realloc(events->lines, (events->line_count + 1) * sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    events->lines = grown;
    grown[events->line_count] = (struct line){strndup(line, length), events->line_count};
    return grown[events->line_count++].text ? 0 : -ENOMEM;
}

static int source_read(struct events *events, struct source *source)
{
    long n;

    while ((n = follow_read(source->file, source->line + source->size,
                            sizeof(source->line) - source->size)) > 0) {
        char *begin = source->line, *end;

        source->size += (size_t)n;
        while ((end = memchr(begin, '\n', source->size - (size_t)(begin - source->line)))) {
            if (line_add(events, begin, (size_t)(end - begin)))
                return -ENOMEM;
            begin = end + 1;
        }
        source->size -= (size_t)(begin - source->line);
        memmove(source->line, begin, source->size);
        if (source->size == sizeof(source->line))
            source->size = 0; /* no event of ours is so long */
    }
    return 0;
}

/* Every line begins with its time: {"time":"2026-01-02T03:04:05.678Z",... Of one millisecond they
 * stay in the order in which they were written, which a machine's own are in already. */
enum { TIME_END = 34 };

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int r = strncmp(x->text, y->text, TIME_END);

    return r ? r : (x->number > y->number) - (x->number < y->number);
}

/* ---- in a reader (host/reader.h): a machine's process writes them, and a guest may have that ----
 */

static void event_print(FILE *out, json_t *json)
{
    const char *key;
    json_t *value;

    fprintf(out, "%-24s %-16s %s", json_string_value(json_object_get(json, "time")),
            json_string_value(json_object_get(json, "machine")),
            json_string_value(json_object_get(json, "event")));
    json_object_foreach(json, key, value)
    {
        if (!strcmp(key, "time") || !strcmp(key, "machine") || !strcmp(key, "event"))
            continue;
        if (json_is_string(value))
            fprintf(out, " %s=%s", key, json_string_value(value));
        else if (json_is_integer(value))
            fprintf(out, " %s=%lld", key, (long long)json_integer_value(value));
    }
}

/* Its text and its length in front; a line that is no event has none. */
static int line_put(const struct events *events, const char *line, struct reader_answer *answer)
{
    json_t *json = json_loads(line, 0, NULL);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out && events->json && json)
        fputs(line, out);
    else if (out && json_is_object(json))
        event_print(out, json);
    json_decref(json);
    if (!out || fclose(out))
        return -ENOMEM;
    reader_put_bytes(answer, text, size);
    free(text);
    return 0;
}

static int lines_put(void *ctx, struct reader_answer *answer, struct error *error)
{
    const struct events *events = ctx;

    for (size_t i = 0; i < events->line_count; i++)
        if (line_put(events, events->lines[i].text, answer))
            return error_set(error, ENOMEM, "out of memory");
    return 0;
}

/* ---- in the command ---- */

static void text_print(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        putchar(text_shown(text[i]));
    if (length)
        putchar('\n');
}

static int lines_print(struct events *events, struct error *error)
{
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    const struct reader reader = {.body = lines_put,
                                  .ctx = events,
                                  .files = {-1, -1},
                                  .answer_max = events->line_count * LINE_PRINTED_MAX,
                                  .timeout_ms = PRINT_MS};
    int r = events->line_count ? reader_ask(&reader, &answer, error) : 0;

    while (!r && answer.at < answer.size) {
        size_t length;
        const char *text = reader_get_bytes(&answer, LINE_PRINTED_MAX, &length);

        if (text)
            text_print(text, length);
        else
            r = error_set(error, EPROTO, "the events cannot be read");
    }
    return r;
}

static int events_turn(struct events *events, struct error *error)
{
    int r = sources_find(events, error);

    for (size_t i = 0; !r && i < events->count; i++)
        if (source_read(events, &events->sources[i]))
            r = error_set(error, ENOMEM, "out of memory");
    sources_forget(events);
    if (events->line_count)
        qsort(events->lines, events->line_count, sizeof(*events->lines), by_time);
    if (!r)
        r = lines_print(events, error);
    for (size_t i = 0; i < events->line_count; i++)
        free(events->lines[i].text);
    events->line_count = 0;
    if (!r && fflush(stdout))
        r = error_set(error, EIO, "cannot write to standard output");
    return r;
}

static int events_parse(struct events *events, const struct command *command, int argc, char **argv,
                        struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    int kind;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND && events->name)
            return error_usage(error, "unexpected argument \"%s\"; name one machine, or none",
                               walk.value);
        if (kind == OPTION_OPERAND)
            events->name = walk.value;
        else if (walk.option->id == EVENTS_FOLLOW)
            events->follow = true;
        else
            events->json = true;
    }
    return kind;
}

static int events_run(const struct command *command, int argc, char **argv, struct error *error)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    struct events events = {0};
    int r = events_parse(&events, command, argc, argv, error);

    if (!r)
        r = registry_open(&events.registry, error);
    if (!r && events.name)
        r = registry_check(&events.registry, events.name, error);
    if (!r)
        r = events_turn(&events, error);
    while (!r && events.follow) {
        nanosleep(&pause, NULL);
        r = events_turn(&events, error);
    }
    for (size_t i = 0; i < events.count; i++)
        source_release(&events.sources[i]);
    free(events.sources);
    free(events.lines);
    registry_release(&events.registry);
    return r;
}

static const struct option events_options[] = {
    {EVENTS_FOLLOW, "--follow", "-f", NULL, false, "go on with what happens from now on"},
    {EVENTS_JSON, "--json", NULL, NULL, false, "print JSON, an object a line"},
    {0},
};

static const struct example events_examples[] = {
    {"hospes events --follow", "prints what becomes of all machines, as it happens"},
    {0},
};

const struct command command_events = {
    .name = "events",
    .summary = "print what became of machines",
    .usage = "events [--follow] [--json] [NAME]",
    .about =
        "Of all machines that there are, or of one: started, paused, resumed, rebooted, ended,\n"
        "and what went wrong: disk-full, network-lost.",
    .options = events_options,
    .examples = events_examples,
    .run = events_run,
};
