/* SPDX-License-Identifier: Apache-2.0 */
#include "host/seed.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "image/file.h"
#include "image/iso.h"
#include "image/store.h"

#define USER_MAX 32

bool seed_is_wanted(const struct seed *seed)
{
    return seed->user || seed->key_count || seed->user_data;
}

int seed_check(const struct seed *seed, struct error *error)
{
    if (seed->user_data && (seed->user || seed->key_count))
        return error_usage(error, "'--user-data' says all by itself; leave out '--user' and "
                                  "'--ssh-key'");
    if (seed->user) {
        size_t length = strspn(seed->user, "abcdefghijklmnopqrstuvwxyz0123456789-_");

        if (!length || length > USER_MAX || seed->user[length] ||
            strchr("-0123456789", seed->user[0]))
            return error_usage(error, "\"%s\" cannot be the name of a user; use a-z 0-9 - _",
                               seed->user);
    }
    return 0;
}

static json_t *keys_json(const struct seed *seed)
{
    json_t *keys = json_array();

    for (unsigned i = 0; i < seed->key_count; i++)
        if (json_array_append_new(keys, json_string(seed->keys[i]))) {
            json_decref(keys);
            return NULL;
        }
    return keys;
}

/* JSON is YAML, and quotes whatever is in a key. The caller frees it; NULL: no memory, or a text
 * that is not UTF-8. */
static char *make_user_data(const struct seed *seed, const char *name)
{
    json_t *user = seed->user ? json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", seed->user, "shell",
                                          "/bin/bash", "sudo", "ALL=(ALL) NOPASSWD:ALL",
                                          "lock_passwd", 1, "ssh_authorized_keys", keys_json(seed))
                              : json_pack("{s:s, s:o}", "name", "root", "ssh_authorized_keys",
                                          keys_json(seed));
    json_t *json = json_pack("{s:s, s:b, s:b, s:[o]}", "hostname", name, "ssh_pwauth", 0,
                             "disable_root", seed->user != NULL, "users", user);
    char *text, *whole;

    text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    json_decref(json);
    whole = text ? text_format("#cloud-config\n%s\n", text) : NULL;
    free(text);
    return whole;
}

int seed_write(const char *path, const struct seed *seed, const char *name, const char *instance,
               struct error *error)
{
    CLEANUP(text_free) char *made = seed->user_data ? NULL : make_user_data(seed, name);
    CLEANUP(text_free)
    char *meta = text_format("instance-id: %s-%s\nlocal-hostname: %s\n", name, instance, name);
    const char *user = seed->user_data ? seed->user_data : made;

    if (!user || !meta)
        return error_set(error, ENOMEM, "cannot make the seed: out of memory, or no UTF-8");
    return iso_write(path, "CIDATA",
                     (const struct iso_file[]){{"META-DATA", meta, strlen(meta)},
                                               {"USER-DATA", user, strlen(user)}},
                     2, error);
}
