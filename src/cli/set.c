/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes set`: changes a named machine, while it runs or not. */
#include <errno.h>
#include <time.h>

#include "base/thread.h"
#include "cli/command.h"
#include "cli/machine_options.h"
#include "cli/named.h"
#include "host/runner_set.h"

/* How long it may take that who has the machine's lock answers, or gives it up. */
#define SETTLE_NS 2000000000ull

static int set_number(json_t *params, const char *key, uint64_t value, struct error *error)
{
    if (json_object_set_new(params, key, json_integer((json_int_t)value)))
        return error_set(error, ENOMEM, "out of memory");
    return 0;
}

static int set_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    struct machine_limits limits = {0};
    json_t *params = ctx;
    int r = machine_option_limit(&limits, walk, error);

    if (r)
        return r;
    switch (walk->option->id) {
    case MACHINE_OPTION_DISK_IOPS:
        return set_number(params, "disk_iops", limits.disk_iops, error);
    case MACHINE_OPTION_DISK_RATE:
        return set_number(params, "disk_bytes", limits.disk_bytes, error);
    case MACHINE_OPTION_NET_RATE:
        return set_number(params, "net_rate", limits.net_rate_in, error);
    }
    BUG_ON(true);
}

/* Of a machine that is just starting, ending or being changed by somebody else. */
static bool is_passing(int r)
{
    return r == -ESRCH || r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET;
}

static int set_apply(const struct named *named, json_t *params, struct error *error)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t deadline = monotonic_ns() + SETTLE_NS;

    for (;;) {
        CLEANUP(error_release) struct error found = ERROR_INIT;
        int r = runner_set_stopped(&named->registry, named->name, params, &found);

        if (r == -EBUSY) {
            error_release(&found);
            r = named_call(named, "machine.set", json_incref(params), NULL, &found);
            if (is_passing(r) && monotonic_ns() < deadline) {
                nanosleep(&pause, NULL);
                continue;
            }
        }
        if (r && found.usage)
            return error_usage(error, "%s", found.message ? found.message : error_words(-r));
        return r ? error_set(error, -r, "%s", found.message ? found.message : error_words(-r)) : 0;
    }
}

static int set_run(const struct command *command, int argc, char **argv, struct error *error)
{
    json_t *params = json_object();
    struct named named;
    int r = params ? named_open(&named, command, argc, argv, set_option, params, error)
                   : error_set(error, ENOMEM, "out of memory");

    if (!r) {
        if (!json_object_size(params))
            r = error_usage(error, "nothing to set; see: hospes set --help");
        else
            r = set_apply(&named, params, error);
        named_release(&named);
    }
    json_decref(params);
    return r;
}

static const struct option set_options[] = {
#include "cli/limit_options.inc"
    {0},
};

static const struct example set_examples[] = {
    {"hospes set web --disk-iops 500 --disk-rate 20M --net-rate 10M",
     "holds the machine to that, from now on and at each start"},
    {"hospes set web --net-rate none", "lifts one of the limits"},
    {0},
};

const struct command command_set = {
    .name = "set",
    .summary = "change a named machine",
    .usage = "set [OPTION]... NAME",
    .about = "Holds at once when the machine runs, and is kept for its next starts. What is not\n"
             "given stays as it is.",
    .options = set_options,
    .examples = set_examples,
    .run = set_run,
};
