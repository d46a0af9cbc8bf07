/* SPDX-License-Identifier: Apache-2.0 */
#include "host/quota.h"

#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "image/file.h"
#include "image/store.h"

#define SYSTEM_PATH   "/etc/hospes/pool.json"
#define RESERVE_MIN   (256ull << 20)
#define FILE_SIZE_MAX (256u << 10)

static const char *const names[] = {[QUOTA_MEMORY] = "memory",
                                    [QUOTA_CPUS] = "cpus",
                                    [QUOTA_MACHINES] = "machines",
                                    [QUOTA_DISK] = "disk"};

/* What one file says. */
struct file {
    const char *path;
    const char *text;
    bool for_users; /* it is a policy: the administrator's */
    uint64_t reserve;
};

const char *quota_name(enum quota quota)
{
    return names[quota];
}

static uint64_t *limit_of(struct pool_limits *limits, enum quota quota)
{
    uint64_t *const fields[] = {[QUOTA_MEMORY] = &limits->memory,
                                [QUOTA_CPUS] = &limits->cpus,
                                [QUOTA_MACHINES] = &limits->machines,
                                [QUOTA_DISK] = &limits->disk};

    return fields[quota];
}

uint64_t quota_limit(const struct pool_limits *limits, enum quota quota)
{
    return *limit_of((struct pool_limits *)limits, quota);
}

const char *quota_by(const struct pool_limits *limits, enum quota quota)
{
    return limits->by[quota] ? limits->by[quota] : "pool.json";
}

void quota_release(struct pool_limits *limits)
{
    for (unsigned i = 0; i < QUOTA_COUNT; i++) {
        free(limits->by[i]);
        limits->by[i] = NULL;
    }
}

/* ---- one file ---- */

/* Where the key is that the others (NULL: none) lead to. JSON values do not know their lines. */
static unsigned line_of(const char *text, const char *user, const char *key)
{
    const char *const keys[] = {user ? "users" : NULL, user, key};
    const char *at = text;
    unsigned line = 1;

    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        CLEANUP(text_free) char *quoted = keys[i] ? text_format("\"%s\"", keys[i]) : NULL;
        const char *next = quoted ? strstr(at, quoted) : NULL;

        at = next ? next : at;
    }
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static int take_number(const struct file *file, const char *user, const char *key,
                       const json_t *value, uint64_t *number, struct error *error)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return error_set(error, EINVAL,
                         "\"%s\" is to be a number, in bytes if it is of memory or disks (line %u)",
                         key, line_of(file->text, user, key));
    *number = (uint64_t)json_integer_value(value);
    return 0;
}

static int tighten(struct pool_limits *limits, enum quota quota, uint64_t number,
                   const struct file *file, const char *user, struct error *error)
{
    uint64_t *limit = limit_of(limits, quota);
    char *by = NULL;

    if (number >= *limit)
        return 0;
    if (file->for_users) {
        by = user ? text_format("the limit \"%s\" of \"%s\" in %s", names[quota], user, file->path)
                  : text_format("the limit \"%s\" in %s", names[quota], file->path);
        if (!by)
            return error_set(error, ENOMEM, "out of memory");
    }
    free(limits->by[quota]);
    limits->by[quota] = by;
    *limit = number;
    return 0;
}

static int quota_find_name(const char *key)
{
    for (unsigned i = 0; i < QUOTA_COUNT; i++)
        if (!strcmp(key, names[i]))
            return (int)i;
    return -ENOENT;
}

static int unknown(const struct file *file, const char *user, const char *key, struct error *error)
{
    return error_set(error, EINVAL,
                     "it has a field that this version does not know, \"%s\" (line %u)", key,
                     line_of(file->text, user, key));
}

/* `limits` NULL: it is only judged. */
static int take_user(const struct file *file, const char *user, const json_t *json,
                     struct pool_limits *limits, struct error *error)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json))
        return error_set(error, EINVAL, "\"%s\" of \"users\" is to be an object (line %u)", user,
                         line_of(file->text, user, user));
    json_object_foreach((json_t *)json, key, value)
    {
        int quota = quota_find_name(key);
        uint64_t number = 0;
        int r = quota < 0 ? unknown(file, user, key, error)
                          : take_number(file, user, key, value, &number, error);

        if (!r && limits)
            r = tighten(limits, (enum quota)quota, number, file, user, error);
        if (r)
            return r;
    }
    return 0;
}

/* The word that is said of this process's user. */
static const char *user_find(const json_t *users)
{
    const struct passwd *user = getpwuid(geteuid());
    char number[24];
    const char *key;
    json_t *value;

    snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
    json_object_foreach((json_t *)users, key, value) if ((user && !strcmp(key, user->pw_name)) ||
                                                         !strcmp(key, number)) return key;
    return json_object_get(users, "*") ? "*" : NULL;
}

static int take_users(const struct file *file, const json_t *users, struct pool_limits *limits,
                      struct error *error)
{
    const char *mine = user_find(users), *user;
    json_t *json;
    int r = 0;

    if (!json_is_object(users))
        return error_set(error, EINVAL, "\"users\" is to be an object (line %u)",
                         line_of(file->text, NULL, "users"));
    json_object_foreach((json_t *)users, user, json) r =
        r ? r : take_user(file, user, json, mine && !strcmp(mine, user) ? limits : NULL, error);
    return r;
}

static int take_all(struct file *file, const json_t *json, struct pool_limits *limits,
                    struct error *error)
{
    const char *key;
    json_t *value;
    int r = 0;

    json_object_foreach((json_t *)json, key, value)
    {
        int quota = quota_find_name(key);
        uint64_t number = 0;

        if (file->for_users && !strcmp(key, "users"))
            r = take_users(file, value, limits, error);
        else if (!strcmp(key, "memory_reserve"))
            r = take_number(file, NULL, key, value, &file->reserve, error);
        else if (quota < 0)
            r = unknown(file, NULL, key, error);
        else if (!(r = take_number(file, NULL, key, value, &number, error)))
            r = tighten(limits, (enum quota)quota, number, file, NULL, error);
        if (r)
            return r;
    }
    return 0;
}

/* A file that is not there sets nothing, unless somebody named it. *reserve: UINT64_MAX stays if it
 * says nothing. */
static int take_file(const char *path, bool for_users, bool named, struct pool_limits *limits,
                     uint64_t *reserve, struct error *error)
{
    CLEANUP(text_free) char *text = NULL;
    struct file file = {.path = path, .for_users = for_users, .reserve = UINT64_MAX};
    CLEANUP(json_decrefp) json_t *json = NULL;
    json_error_t where;
    int r;

    if (!named && access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    r = file_read_text(path, FILE_SIZE_MAX, &text, error);
    if (r)
        return r;
    file.text = text;
    json = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!json)
        r = error_set(error, EINVAL, "it is no JSON object (line %d: %s)", where.line, where.text);
    else if (!json_is_object(json))
        r = error_set(error, EINVAL, "it is no JSON object (line 1)");
    else
        r = take_all(&file, json, limits, error);
    *reserve = file.reserve;
    if (r)
        error_wrap(error, "cannot use \"%s\"", path);
    return r;
}

/* ---- all of them ---- */

static char *own_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && config[0] == '/')
        return text_format("%s/hospes/pool.json", config);
    return home && home[0] == '/' ? text_format("%s/.config/hospes/pool.json", home) : NULL;
}

int quota_find(struct pool_limits *limits, uint64_t memory, struct error *error)
{
    uint64_t all = UINT64_MAX, more = UINT64_MAX, mine = UINT64_MAX;
    const char *policy = getenv("HOSPES_POLICY");
    CLEANUP(text_free) char *own = own_path();
    int r;

    *limits = (struct pool_limits){.memory = UINT64_MAX,
                                   .cpus = UINT64_MAX,
                                   .machines = UINT64_MAX,
                                   .disk = UINT64_MAX};
    r = take_file(SYSTEM_PATH, true, false, limits, &all, error);
    if (!r && policy)
        r = take_file(policy, true, true, limits, &more, error);
    if (!r && own)
        r = take_file(own, false, false, limits, &mine, error);
    if (r) {
        quota_release(limits);
        return r;
    }
    if (more != UINT64_MAX && (all == UINT64_MAX || more > all))
        all = more;
    limits->memory_reserve = memory / 16 > RESERVE_MIN ? memory / 16 : RESERVE_MIN;
    if (all != UINT64_MAX)
        limits->memory_reserve = all;
    if (mine != UINT64_MAX && (all == UINT64_MAX || mine > all))
        limits->memory_reserve = mine;
    return 0;
}
