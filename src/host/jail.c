/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of the jail, in their order. Each is there for what the others do not cover:
 *
 *  1. No new privileges: no program executed later gets more rights by its file (set-user-ID). The
 *     next ones want it.
 *  2. Not dumpable, no core: nobody of the same user traces the process or reads its memory, and a
 *     crash does not leave the guest's secrets in a file. The price: `perf`, `gdb` and what
 *     /proc/PID tells of memory and descriptors are root's alone, and who waits for a locked disk
 *     is not told which process holds it.
 *  3. A root of its own, with nothing in it but what jail_allow() was told, for the loop's thread
 *     and those that it starts later; those before have no calls that take a path. It holds for
 *     what Landlock leaves: sockets with a path, and whether a path is there. The user network's
 *     process has one where there is no Landlock.
 *  4. No supplementary groups, no capabilities: what root's process could do without asking. What
 *     needed them (a tap interface, low ports) is open by now. The set of what an exec could gain
 *     (the bounding set) is left: nothing is executed any more, by 1 and 6.
 *  5. Landlock: by path only what jail_allow() was told, on the loop's thread; nothing at all on
 *     the others. It holds for what a filter of system calls cannot tell apart: which file.
 *  6. A filter of system calls, by role.
 *
 * No other namespaces: docs/architecture.md tells what each would add and cost.
 */
#include "host/jail.h"

#include <errno.h>
#include <execinfo.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "host/jail_parts.h"

struct jail {
    struct jail_options options;
    const struct log *log;
    int landlock; /* version; 0: none, or not wanted */
    int loop_rules, worker_rules;
    enum jail_mounts mounts;
    struct jail_places places; /* the loop's thread's */
    bool filters;              /* the host has them */
    bool paths;                /* something was allowed */
    bool entered;              /* the loop's thread is in, and so is what it starts */
    struct sock_fprog programs[THREAD_ROLES]; /* of a process's first thread: when it enters */
};

int jail_mode_find(const char *text, enum jail_mode *mode, struct error *error)
{
    static const char *const words[] = {[JAIL_ON] = "on", [JAIL_LOG] = "log", [JAIL_OFF] = "off"};
    const char *word = text ? text : HOSPES_JAIL_DEFAULT;

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp(word, words[i])) {
            *mode = (enum jail_mode)i;
            return 0;
        }
    return error_usage(error, "no jail \"%s\"; set HOSPES_JAIL to on, log or off", word);
}

bool jail_host_filters(void)
{
    return jail_filter_supported();
}

static int make_filter(struct jail *jail, enum thread_role role)
{
    const struct jail_needs needs = {.kill = jail->options.mode == JAIL_ON,
                                     .sockets = jail->options.sockets,
                                     .segment = jail->options.segment,
                                     .network = jail->options.network,
                                     .paths = jail->paths};

    return !jail->filters ? 0 : jail_filter_make(role, &needs, &jail->programs[role]);
}

static int make_rules(struct jail *jail)
{
    jail->landlock = jail_landlock_version();
    if (!jail->landlock) {
        log_say(jail->log, LOG_INFO,
                "the host has no landlock: the machine may open what its user may; see: hospes "
                "doctor");
        return 0;
    }
    /* The signal by which the network's process dies with this one counts as the loop's thread's
     * (PR_SET_PDEATHSIG), and would be held back. That thread sends no others: by its filter. */
    jail->loop_rules =
        jail_landlock_new(jail->landlock,
                          jail->options.network && jail->filters ? JAIL_LEAVE_SIGNALS : 0);
    if (jail->loop_rules < 0)
        return jail->loop_rules;
    jail->worker_rules = jail_landlock_new(jail->landlock, 0);
    return jail->worker_rules < 0 ? jail->worker_rules : 0;
}

bool jail_host_mounts(void)
{
    return jail_mounts_find() != JAIL_MOUNTS_NONE;
}

bool jail_host_users(void)
{
    return jail_mounts_users_allowed();
}

bool jail_hides_users(const struct jail *jail)
{
    return jail->mounts == JAIL_MOUNTS_USER;
}

static void say_no_mounts(const struct jail *jail, const char *why)
{
    log_say(jail->log, LOG_INFO,
            "the host does not let the machine have a root directory of its own%s%s: a guest is "
            "confined less; see: hospes doctor",
            why ? ", " : "", why ? why : "");
}

static int make_mounts(struct jail *jail)
{
    bool entered = false;
    int r;

    jail->mounts = jail_mounts_find();
    r = jail->mounts == JAIL_MOUNTS_USER ? jail_mounts_enter_users(&entered) : 0;
    if (r && !entered)
        jail->mounts = JAIL_MOUNTS_NONE;
    if (jail->mounts == JAIL_MOUNTS_NONE)
        say_no_mounts(jail, r ? error_words(-r) : NULL);
    return entered ? r : 0;
}

/* Of the whole process. */
static int process_close(void)
{
    const struct rlimit none = {0, 0};

    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || setrlimit(RLIMIT_CORE, &none) ? -errno : 0;
}

/* The first trace loads a library, which cannot be opened any more when a bug is met. */
static void load_backtrace(void)
{
    void *frame;

    (void)backtrace(&frame, 1);
}

/* A process's first, which is confined as it goes on; the others are made beside it. */
static bool is_first(enum thread_role role)
{
    return role == THREAD_LOOP || role == THREAD_NETWORK || role == THREAD_READER;
}

int jail_new(struct jail **out, const struct jail_options *options, const struct log *log,
             struct error *error)
{
    struct jail *jail = calloc(1, sizeof(*jail));
    int r = 0;

    if (!jail)
        return error_set(error, ENOMEM, "cannot confine the machine: out of memory");
    *jail = (struct jail){.options = *options, .log = log, .loop_rules = -1, .worker_rules = -1};
    /* Before any thread, since a thread has it from who starts it. */
    if (options->mode != JAIL_OFF && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        r = -errno;
    if (!r && options->mode == JAIL_ON)
        r = make_mounts(jail);
    if (!r && options->mode == JAIL_ON)
        r = process_close();
    if (!r && options->mode == JAIL_ON)
        load_backtrace();
    jail->filters = options->mode != JAIL_OFF && jail_filter_supported();
    if (!r && options->mode == JAIL_ON)
        r = make_rules(jail);
    if (options->mode != JAIL_OFF && !jail->filters)
        log_say(log, LOG_WARN,
                "the host has no filters of system calls (seccomp): a guest is confined less");
    for (unsigned role = 0; !r && options->mode != JAIL_OFF && role < THREAD_ROLES; role++)
        if (!is_first((enum thread_role)role))
            r = make_filter(jail, (enum thread_role)role);
    if (r) {
        jail_free(jail);
        return error_set(error, -r, "cannot confine the machine: %s; HOSPES_JAIL=off does without",
                         error_words(-r));
    }
    *out = jail;
    return 0;
}

void jail_free(struct jail *jail)
{
    if (!jail)
        return;
    for (unsigned i = 0; i < THREAD_ROLES; i++)
        free(jail->programs[i].filter);
    descriptor_close(&jail->loop_rules);
    descriptor_close(&jail->worker_rules);
    jail_places_release(&jail->places);
    free(jail);
}

int jail_allow(struct jail *jail, const char *path, unsigned rights, struct error *error)
{
    int r;

    jail->paths = true;
    r = jail->landlock ? jail_landlock_allow(jail->loop_rules, jail->landlock, path, rights) : 0;
    /* What is removed by its directory's descriptor is none of its places. */
    if (!r && jail->mounts != JAIL_MOUNTS_NONE && rights != JAIL_REMOVE_EMPTY)
        r = jail_places_add(&jail->places, path, path);
    if (r && r != -ENOENT)
        return error_set(error, -r, "cannot confine the machine to \"%s\": %s", path,
                         error_words(-r));
    return 0;
}

int jail_allow_beside(struct jail *jail, const char *path, unsigned rights, struct error *error)
{
    const char *slash = strrchr(path, '/');
    char *directory;
    int r;

    if (!slash)
        return jail_allow(jail, ".", rights, error);
    directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!directory)
        return error_set(error, ENOMEM, "cannot confine the machine: out of memory");
    r = jail_allow(jail, directory, rights, error);
    free(directory);
    return r;
}

int jail_allow_cache(struct jail *jail, const char *path, struct error *error)
{
    CLEANUP(error_release) struct error found = ERROR_INIT;
    int r = jail_allow_beside(jail, path, JAIL_KEEP, &found);

    if (!r || r == -ENOENT || r == -ENOTDIR || r == -EACCES)
        return 0;
    return error_set(error, -r, "%s", found.message ? found.message : error_words(-r));
}

/* Both are the thread's own in the kernel; libc's setgroups() would ask all others by a signal. */
static int drop_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    /* In a user namespace that somebody made for an ordinary user it is forbidden, and the groups
     * are that user's. */
    if (!geteuid() && syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
        return -errno;
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static const char names_file[] = "/etc/resolv.conf";

/* libslirp reads it while the guest runs. */
char *jail_names_place(void)
{
    char *real = realpath(names_file, NULL), *slash = real ? strrchr(real, '/') : NULL;

    /* Who manages the file in a directory of their own, as systemd-resolved, replaces it there; the
     * rest of /etc is nobody's business. */
    if (slash && slash != real && strncmp(real, "/etc/", 5) != 0)
        *slash = 0;
    return real;
}

static int allow_names(int rules, int version)
{
    char *place = jail_names_place();
    int r = place ? jail_landlock_allow(rules, version, place, JAIL_READ) : 0;

    free(place);
    return r == -ENOENT ? 0 : r;
}

/* The user network's process has closed what it had of the machine's, rules included. */
static int enter_network_rules(const struct jail *jail)
{
    CLEANUP(descriptor_close) int rules = jail_landlock_new(jail->landlock, JAIL_LEAVE_CONNECTIONS);
    int r = rules < 0 ? rules : allow_names(rules, jail->landlock);

    return r ? r : jail_landlock_install(rules);
}

static int enter_rules(struct jail *jail, enum thread_role role)
{
    int r;

    if (!jail->landlock)
        return 0;
    if (role == THREAD_NETWORK)
        return enter_network_rules(jail);
    if (role != THREAD_LOOP)
        return jail_landlock_install(jail->worker_rules);
    r = jail_landlock_install(jail->loop_rules);
    close(jail->loop_rules);
    jail->loop_rules = -1;
    return r;
}

static int network_places(struct jail_places *places)
{
    char *place = jail_names_place(), *real = place ? realpath(names_file, NULL) : NULL;
    int r = 0;

    if (real)
        r = jail_places_add(places, place, place);
    if (!r && real && strcmp(real, names_file) != 0)
        r = jail_places_add_link(places, real, names_file);
    free(place);
    free(real);
    return r;
}

static int enter_mounts(struct jail *jail, enum thread_role role)
{
    struct jail_places network = {0};
    bool loop = role == THREAD_LOOP, entered = false;
    struct jail_places *places = loop ? &jail->places : &network;
    int r = 0;

    if (jail->mounts == JAIL_MOUNTS_NONE)
        return 0;
    /* It makes no socket with a path, so Landlock leaves it nothing but to ask whether one is
     * there, which is not worth half a millisecond of each start. */
    if (!loop && jail->landlock)
        return 0;
    if (!loop)
        r = network_places(places);
    else if (jail->options.segment)
        r = jail_places_add_descriptors(places);
    if (!r)
        r = jail_mounts_enter(places, &entered);
    /* The network's process has no log yet, and is told of by the other. */
    if (r && !entered && loop)
        say_no_mounts(jail, error_words(-r));
    jail_places_release(&network);
    return entered ? r : 0;
}

int jail_enter(struct jail *jail, enum thread_role role)
{
    bool loop = role == THREAD_LOOP, first = loop || role == THREAD_NETWORK;
    int r = 0;

    if (jail->options.mode == JAIL_OFF)
        return 0;
    if (first)
        r = make_filter(jail, role);
    if (!r && first && jail->options.mode == JAIL_ON)
        umask(077); /* what is still made is nobody else's */
    if (!r && first && jail->options.mode == JAIL_ON)
        r = enter_mounts(jail, role);
    if (!r && !jail->entered && jail->options.mode == JAIL_ON)
        r = drop_privileges();
    if (!r)
        r = enter_rules(jail, role);
    if (!r && jail->filters)
        r = jail_filter_install(&jail->programs[role]);
    if (loop)
        jail->entered = !r;
    return r;
}

/* It makes no mounts: there is no call left that takes a path but those that are refused. */
static int enter_reader_rules(void)
{
    int version = jail_landlock_version();
    CLEANUP(descriptor_close) int rules = version ? jail_landlock_new(version, 0) : -1;

    if (!version)
        return 0;
    return rules < 0 ? rules : jail_landlock_install(rules);
}

/* The largest answers of an agent need half of it; short texts can make long values. */
#define READER_MEMORY_MAX (512u << 20)

static int limit_reader_memory(void)
{
    struct rlimit memory;

    if (getrlimit(RLIMIT_DATA, &memory))
        return -errno;
    memory.rlim_cur = lesser(memory.rlim_cur, READER_MEMORY_MAX);
    memory.rlim_max = lesser(memory.rlim_max, READER_MEMORY_MAX);
    return setrlimit(RLIMIT_DATA, &memory) ? -errno : 0;
}

int jail_enter_reader(enum jail_mode mode)
{
    struct jail jail = {.options = {.mode = mode}};
    int r = 0;

    if (mode == JAIL_OFF)
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -errno;
    jail.filters = jail_filter_supported();
    if (mode == JAIL_ON) {
        r = process_close();
        if (!r)
            r = limit_reader_memory();
        if (!r)
            r = drop_privileges();
        if (!r)
            r = enter_reader_rules();
    }
    if (!r)
        r = make_filter(&jail, THREAD_READER);
    if (!r && jail.filters)
        r = jail_filter_install(&jail.programs[THREAD_READER]);
    free(jail.programs[THREAD_READER].filter);
    return r;
}
