/* SPDX-License-Identifier: Apache-2.0 */
#include "image/mirror.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "image/child.h"
#include "image/file.h"

#define OUTPUT_MAX (1u << 20)

void mirror_release(struct mirror *mirror)
{
    free(mirror->archive);
    free(mirror->security);
    *mirror = (struct mirror){0};
}

/* Only what a guest can reach as well, and nothing that could end an apt source's line. */
static bool url_is_good(const char *url, size_t length)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)url[i]) && !strchr("-._~:/@%+,=", url[i]))
            return false;
    }
    return true;
}

/* The first one found stays. */
static int url_keep(char **kept, const char *url, size_t length)
{
    if (*kept || !url_is_good(url, length))
        return 0;
    while (length && url[length - 1] == '/')
        length--;
    *kept = strndup(url, length);
    return *kept ? 0 : -ENOMEM;
}

static bool url_ends(const char *url, size_t length, const char *end)
{
    size_t n = strlen(end);

    while (length && url[length - 1] == '/')
        length--;
    return length >= n && strncmp(url + length - n, end, n) == 0;
}

int mirror_from_targets(const char *lines, struct mirror *mirror)
{
    for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *label = line + strcspn(line, "|\n");
        const char *uri, *end;
        size_t length;
        bool debian, security, unknown;
        int ret;

        if (*label != '|')
            continue;
        label++;
        uri = label + strcspn(label, "|\n");
        if (*uri != '|')
            continue;
        uri++;
        end = uri + strcspn(uri, "\n");
        length = (size_t)(end - uri);
        /* Without a Release file (apt has not been updated yet) the origin is empty, and the path
         * that the archive has on all its mirrors has to do. */
        unknown = *line == '|';
        debian = strncmp(line, "Debian|", 7) == 0;
        security = strncmp(label, "Debian-Security|", 16) == 0;
        if (unknown) {
            security = url_ends(uri, length, "/debian-security");
            debian = security || url_ends(uri, length, "/debian");
        }
        if (!debian || (!security && !unknown && strncmp(label, "Debian|", 7) != 0))
            continue;
        ret = url_keep(security ? &mirror->security : &mirror->archive, uri, length);
        if (ret)
            return ret;
    }
    return 0;
}

int mirror_from_sources(const char *lines, struct mirror *mirror)
{
    for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *uri = line + 4;
        size_t length;
        bool security;
        int ret;

        if (strncmp(line, "deb ", 4) != 0)
            continue;
        if (*uri == '[')
            uri += strcspn(uri, "]\n") + 1;
        uri += strspn(uri, " ");
        length = strcspn(uri, " \n");
        security = url_ends(uri, length, "/debian-security");
        if (!security && !url_ends(uri, length, "/debian"))
            continue;
        ret = url_keep(security ? &mirror->security : &mirror->archive, uri, length);
        if (ret)
            return ret;
    }
    return 0;
}

static int mirror_from_host(struct mirror *mirror)
{
    const char *const argv[] = {"apt-get",
                                "indextargets",
                                "--format",
                                "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
                                "Created-By: Packages",
                                NULL};
    CLEANUP(text_free) char *text = NULL;

    /* A host without apt is not an error here: there are other ways. */
    if (child_output(argv, OUTPUT_MAX, &text, NULL))
        return 0;
    return mirror_from_targets(text, mirror);
}

static int mirror_from_mmdebstrap(struct mirror *mirror)
{
    /* Its own list of sources, shown by a hook that then ends it: nothing is downloaded. */
    const char *const argv[] = {"sh", "-c",
                                "mmdebstrap --variant=extract --mode=chrootless --arch=riscv64 "
                                "--setup-hook='cat \"$1\"/etc/apt/sources.list; exit 1' "
                                "trixie /dev/null; exit 0",
                                NULL};
    CLEANUP(text_free) char *text = NULL;

    if (child_output(argv, OUTPUT_MAX, &text, NULL))
        return 0;
    return mirror_from_sources(text, mirror);
}

int mirror_find(const char *url, struct mirror *mirror, struct error *error)
{
    struct mirror found = {0};
    int ret;

    if (!url || !*url)
        url = getenv("HOSPES_MIRROR");
    if (url && *url) {
        if (!url_is_good(url, strlen(url)))
            return error_usage(error, "\"%s\" is not an http or https URL of a Debian archive",
                               url);
        ret = url_keep(&found.archive, url, strlen(url));
    } else {
        ret = mirror_from_host(&found);
        if (!ret && !found.archive)
            ret = mirror_from_mmdebstrap(&found);
    }
    if (!ret && !found.archive)
        ret = -ENOENT;
    if (ret) {
        mirror_release(&found);
        return error_set(error, -ret,
                         ret == -ENOMEM
                             ? "out of memory"
                             : "no Debian mirror in the host's apt configuration; name one with: "
                               "--mirror URL");
    }
    *mirror = found;
    return 0;
}
