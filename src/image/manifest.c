/* SPDX-License-Identifier: Apache-2.0 */
#include "image/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "image/file.h"

#define MANIFEST_SIZE_MAX (64u << 10)

void manifest_release(struct manifest *manifest)
{
    free(manifest->name);
    free(manifest->architecture);
    free(manifest->release);
    free(manifest->date);
    free(manifest->append);
    *manifest = (struct manifest){0};
}

static int text_get(const json_t *object, const char *key, char **text)
{
    const char *value = json_string_value(json_object_get(object, key));

    if (!value)
        return -EINVAL;
    *text = strdup(value);
    return *text ? 0 : -ENOMEM;
}

static int digest_get(const json_t *object, const char *key, char digest[static SHA256_TEXT_SIZE])
{
    const char *value = json_string_value(json_object_get(object, key));

    if (!value || strlen(value) != SHA256_TEXT_SIZE - 1)
        return -EINVAL;
    memcpy(digest, value, SHA256_TEXT_SIZE);
    return 0;
}

static int manifest_fill(struct manifest *manifest, const json_t *json)
{
    const struct {
        const char *key;
        char **text;
    } texts[] = {
        {"name", &manifest->name},       {"architecture", &manifest->architecture},
        {"release", &manifest->release}, {"date", &manifest->date},
        {"append", &manifest->append},
    };
    int ret;

    if (json_integer_value(json_object_get(json, "version")) != MANIFEST_VERSION)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        ret = text_get(json, texts[i].key, texts[i].text);
        if (ret)
            return ret;
    }
    ret = digest_get(json, "packages_sha256", manifest->packages_sha256);
    if (!ret)
        ret = digest_get(json, "kernel_sha256", manifest->kernel_sha256);
    if (!ret)
        ret = digest_get(json, "initrd_sha256", manifest->initrd_sha256);
    return ret;
}

int manifest_read(const char *path, struct manifest *manifest, struct error *error)
{
    CLEANUP(text_free) char *text = NULL;
    CLEANUP(json_decrefp) json_t *json = NULL;
    struct manifest found = {0};
    int ret = file_read_text(path, MANIFEST_SIZE_MAX, &text, error);

    if (ret)
        return ret;
    json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    ret = json ? manifest_fill(&found, json) : -EINVAL;
    if (ret) {
        manifest_release(&found);
        return error_set(error, -ret, "\"%s\" is not a manifest that this version reads", path);
    }
    *manifest = found;
    return 0;
}

int manifest_write(const struct manifest *manifest, const char *path, struct error *error)
{
    CLEANUP(json_decrefp)
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "version", MANIFEST_VERSION,
                  "name", manifest->name, "architecture", manifest->architecture, "release",
                  manifest->release, "date", manifest->date, "append", manifest->append,
                  "packages_sha256", manifest->packages_sha256, "kernel_sha256",
                  manifest->kernel_sha256, "initrd_sha256", manifest->initrd_sha256);
    CLEANUP(text_free) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    if (!text)
        return error_set(error, ENOMEM, "out of memory");
    return file_write(path, text, strlen(text), false, error);
}
