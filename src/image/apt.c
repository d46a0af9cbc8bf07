/* SPDX-License-Identifier: Apache-2.0 */
#include "image/apt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/child.h"
#include "image/file.h"
#include "image/store.h"

#define CONFIG_MAX   (1u << 20)
#define ARGS_MAX     256
#define PACKAGES_MAX 2000 /* more than any image here could want */

static const char *const keyrings[] = {
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
};

/* Where the guest's own package puts it (debian-archive-keyring of trixie). */
#define GUEST_KEYRING "/usr/share/keyrings/debian-archive-keyring.pgp"

void apt_release(struct apt *apt)
{
    free(apt->config);
    free(apt->sources);
    *apt = (struct apt){0};
}

/* The host's settings for http and https (proxies, certificates), in apt's own notation. */
static char *transport_settings(void)
{
    const char *const argv[] = {"apt-config", "dump", NULL};
    CLEANUP(text_free) char *all = NULL;
    char *kept;
    size_t length = 0;

    if (child_output(argv, CONFIG_MAX, &all, NULL))
        return strdup("");
    kept = calloc(strlen(all) + 1, 1);
    if (!kept)
        return NULL;
    for (const char *line = all; *line;) {
        size_t n = strcspn(line, "\n") + 1;

        if (strncmp(line, "Acquire::http", 13) == 0) {
            memcpy(kept + length, line, n);
            length += n;
        }
        line += n;
    }
    return kept;
}

static int config_write(const struct apt *apt, struct error *error)
{
    const char *cache = apt->build->cache;
    CLEANUP(text_free) char *transport = transport_settings();
    CLEANUP(text_free) char *text = NULL;

    if (transport)
        text = text_format("APT::Architecture \"%s\";\n"
                           "APT::Architectures { \"%s\"; };\n"
                           "APT::Install-Recommends \"false\";\n"
                           "APT::Get::Assume-Yes \"true\";\n"
                           /* The cache is the user's own; apt's sandbox user may not enter it. */
                           "APT::Sandbox::User \"root\";\n"
                           "Acquire::Languages \"none\";\n"
                           "Acquire::Retries \"3\";\n"
                           "Dir::State \"%s/state\";\n"
                           "Dir::State::status \"%s/status\";\n"
                           "Dir::Cache \"%s\";\n"
                           "Dir::Etc::main \"/dev/null\";\n"
                           "Dir::Etc::parts \"/dev/null\";\n"
                           "Dir::Etc::preferences \"/dev/null\";\n"
                           "Dir::Etc::preferencesparts \"/dev/null\";\n"
                           "Dir::Etc::sourceparts \"/dev/null\";\n"
                           "Dir::Etc::sourcelist \"%s\";\n"
                           "%s",
                           apt->architecture, apt->architecture, cache, cache, cache, apt->sources,
                           transport);
    if (!text)
        return error_set(error, ENOMEM, "out of memory");
    return file_write(apt->config, text, strlen(text), false, error);
}

int apt_init(struct apt *apt, const struct build *build, const char *architecture,
             struct error *error)
{
    static const char *const directories[] = {"state/lists/partial", "archives/partial"};
    struct apt made = {.build = build, .architecture = architecture};
    CLEANUP(text_free) char *status = text_format("%s/status", build->cache);
    int ret = 0;

    for (size_t i = 0; i < ARRAY_SIZE(keyrings) && !made.keyring; i++) {
        if (access(keyrings[i], R_OK) == 0)
            made.keyring = keyrings[i];
    }
    if (!made.keyring)
        return error_set(error, ENOENT,
                         "the keys of the Debian archive are not installed; get them with: "
                         "scripts/setup image");
    /* apt.conf knows no escape for these. */
    if (strpbrk(build->cache, "\"\\\n"))
        return error_set(error, EINVAL,
                         "apt cannot use a directory named \"%s\"; set another in "
                         "XDG_CACHE_HOME",
                         build->cache);
    made.config = text_format("%s/apt.conf", build->cache);
    made.sources = text_format("%s/debian.sources", build->cache);
    if (!made.config || !made.sources || !status)
        ret = error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < ARRAY_SIZE(directories) && !ret; i++) {
        CLEANUP(text_free) char *path = text_format("%s/%s", build->cache, directories[i]);

        ret = path ? directory_make(path, error) : error_set(error, ENOMEM, "out of memory");
    }
    if (!ret)
        ret = file_write(status, "", 0, false, error);
    if (!ret)
        ret = config_write(&made, error);
    if (ret) {
        apt_release(&made);
        return ret;
    }
    *apt = made;
    return 0;
}

static void download_progress(void *ctx, const char *text)
{
    const struct apt *apt = ctx;
    unsigned percent;
    int at = 0;

    /* APT::Status-Fd: "dlstatus:NUMBER:PERCENT:text" (apt's progress-reporting.md). */
    if (sscanf(text, "dlstatus:%*[^:]:%3u%*[^:]:%n", &percent, &at) >= 1 && at)
        build_progress(apt->build, "downloading", percent, 100, text + at);
}

/* What it fetches it reads as well; where it fetches nothing it has no network. */
static int apt_run(struct apt *apt, const char *const *argv, bool fetches,
                   void (*line)(void *ctx, const char *text), void *ctx, struct error *error)
{
    CLEANUP(text_free) char *config = text_format("APT_CONFIG=%s", apt->config);
    CLEANUP(text_free) char *temporary = text_format("TMPDIR=%s", apt->build->cache);
    const char *const environment[] = {config, temporary, "LC_ALL=C", NULL};
    const char *const directories[] = {apt->build->cache, NULL};
    struct child child = {.argv = argv,
                          .environment = environment,
                          .log = apt->build->log,
                          .line = line,
                          .ctx = ctx,
                          .guard = apt->build->options->guard,
                          .directories = directories,
                          .network = fetches};

    if (!config || !temporary)
        return error_set(error, ENOMEM, "out of memory");
    return child_run(&child, error);
}

/* The archive's parts that a machine may use beside the suite itself. */
enum { OPTIONAL_UPDATES = 1, OPTIONAL_SECURITY = 2 };

static char *sources_text(const struct mirror *mirror, const char *suite, unsigned optional,
                          const char *keyring)
{
    CLEANUP(text_free) char *updates = text_format(" %s-updates", suite);
    CLEANUP(text_free) char *security = NULL;

    if (!updates)
        return NULL;
    if (optional & OPTIONAL_SECURITY) {
        security = text_format("\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\n"
                               "Signed-By: %s\n",
                               mirror->security, suite, keyring);
        if (!security)
            return NULL;
    }
    return text_format("Types: deb\nURIs: %s\nSuites: %s%s\nComponents: main\nSigned-By: %s\n%s",
                       mirror->archive, suite, optional & OPTIONAL_UPDATES ? updates : "", keyring,
                       security ? security : "");
}

static int update_once(struct apt *apt, const struct mirror *mirror, const char *suite,
                       unsigned optional, struct error *error)
{
    const char *const argv[] = {"apt-get", "-qq", "update", NULL};
    CLEANUP(text_free) char *text = sources_text(mirror, suite, optional, apt->keyring);
    int ret;

    if (!text)
        return error_set(error, ENOMEM, "out of memory");
    ret = file_write(apt->sources, text, strlen(text), false, error);
    if (ret)
        return ret;
    return apt_run(apt, argv, true, NULL, NULL, error);
}

int apt_update(struct apt *apt, const struct mirror *mirror, const char *suite,
               char **guest_sources, struct error *error)
{
    static const struct {
        unsigned bit;
        const char *warning;
    } optionals[] = {
        {OPTIONAL_UPDATES, "left out: stable updates (the mirror's index does not verify)"},
        {OPTIONAL_SECURITY, "left out: security updates (the mirror's index does not verify)"},
    };
    unsigned wanted = OPTIONAL_UPDATES | (mirror->security ? OPTIONAL_SECURITY : 0);
    unsigned good = wanted;
    int ret;

    build_progress(apt->build, "reading the archive's index", 0, 0, mirror->archive);
    ret = update_once(apt, mirror, suite, wanted, NULL);
    if (ret) {
        good = 0;
        ret = update_once(apt, mirror, suite, good, error);
        for (size_t i = 0; i < ARRAY_SIZE(optionals) && !ret; i++) {
            if (!(wanted & optionals[i].bit))
                continue;
            if (update_once(apt, mirror, suite, good | optionals[i].bit, NULL) == 0)
                good |= optionals[i].bit;
            else
                build_progress(apt->build, "reading the archive's index", 0, 0,
                               optionals[i].warning);
        }
        /* Leaves the lists and the sources as what was found good. */
        if (!ret)
            ret = update_once(apt, mirror, suite, good, error);
    }
    if (ret)
        return ret;
    *guest_sources = sources_text(mirror, suite, good, GUEST_KEYRING);
    return *guest_sources ? 0 : error_set(error, ENOMEM, "out of memory");
}

struct package {
    char *name;
    char *version;
    char *architecture;
    char digest[65]; /* SHA-256, hexadecimal; empty until it is known */
};

struct selection {
    struct package *packages; /* in apt's order of installation */
    size_t count;
    struct package current; /* the stanza of apt-cache that is being read */
    int failed;             /* errno value */
};

static void package_release(struct package *package)
{
    free(package->name);
    free(package->version);
    free(package->architecture);
    *package = (struct package){0};
}

static void selection_release(struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++)
        package_release(&selection->packages[i]);
    free(selection->packages);
    package_release(&selection->current);
}

/* Goes into a file's name and a list of words. */
static bool word_is_good(const char *word)
{
    return word[0] && word[0] != '.' &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-:~_") ==
               strlen(word);
}

/* "Inst NAME (VERSION RELEASE... [ARCHITECTURE]) [more]" of apt-get --simulate. */
static void simulate_line(void *ctx, const char *text)
{
    struct selection *selection = ctx;
    char name[256], version[256], architecture[64];
    const char *bracket = strstr(text, " [");
    struct package *grown;
    struct package package = {0};

    if (sscanf(text, "Inst %255s (%255s", name, version) != 2)
        return;
    if (!bracket || sscanf(bracket, " [%63[^]]", architecture) != 1 || !word_is_good(name) ||
        !word_is_good(version) || !word_is_good(architecture) || selection->count >= PACKAGES_MAX) {
        selection->failed = EPROTO;
        return;
    }
    package.name = strdup(name);
    package.version = strdup(version);
    package.architecture = strdup(architecture);
    grown = realloc(selection->packages, (selection->count + 1) * sizeof(*grown));
    if (grown)
        selection->packages = grown;
    if (!grown || !package.name || !package.version || !package.architecture) {
        package_release(&package);
        selection->failed = ENOMEM;
        return;
    }
    grown[selection->count++] = package;
}

static void text_keep(struct selection *selection, char **to, const char *value)
{
    free(*to);
    *to = strdup(value);
    if (!*to)
        selection->failed = ENOMEM;
}

/* A paragraph of apt-cache show begins with Package and gives Version before SHA256. */
static void show_line(void *ctx, const char *text)
{
    struct selection *selection = ctx;
    struct package *current = &selection->current;

    if (strncmp(text, "Package: ", 9) == 0) {
        package_release(current);
        text_keep(selection, &current->name, text + 9);
    } else if (strncmp(text, "Version: ", 9) == 0) {
        text_keep(selection, &current->version, text + 9);
    } else if (strncmp(text, "SHA256: ", 8) == 0 && current->name && current->version) {
        for (size_t i = 0; i < selection->count; i++) {
            struct package *package = &selection->packages[i];

            if (strcmp(package->name, current->name) == 0 &&
                strcmp(package->version, current->version) == 0)
                snprintf(package->digest, sizeof(package->digest), "%s", text + 8);
        }
    }
}

/* As apt names a file in its cache: a colon in the version is written %3a. */
static char *package_file(const struct apt *apt, const struct package *package)
{
    const char *colon = strchr(package->version, ':');
    int epoch = colon ? (int)(colon - package->version) : 0;

    return text_format("%s/archives/%s_%.*s%s%s_%s.deb", apt->build->cache, package->name, epoch,
                       package->version, colon ? "%3a" : "", colon ? colon + 1 : package->version,
                       package->architecture);
}

static int digests_read(struct apt *apt, struct selection *selection, struct error *error)
{
    const char **argv = calloc(selection->count + 3, sizeof(*argv));
    char **names = calloc(selection->count + 1, sizeof(*names));
    int ret = argv && names ? 0 : -ENOMEM;
    size_t n = 0;

    if (!ret) {
        argv[n++] = "apt-cache";
        argv[n++] = "show";
    }
    for (size_t i = 0; i < selection->count && !ret; i++) {
        names[i] =
            text_format("%s=%s", selection->packages[i].name, selection->packages[i].version);
        argv[n++] = names[i];
        ret = names[i] ? 0 : -ENOMEM;
    }
    if (ret)
        ret = error_set(error, ENOMEM, "out of memory");
    else
        ret = apt_run(apt, argv, false, show_line, selection, error);
    for (size_t i = 0; names && i < selection->count; i++)
        free(names[i]);
    free(names);
    free(argv);
    return ret;
}

static void text_end(FILE **file)
{
    if (*file)
        fclose(*file);
}

/* apt trusts a file in its cache for its name and length; here its digest is compared again. */
static int digests_check(struct apt *apt, const struct selection *selection, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/sha256", apt->build->cache);
    const char *const argv[] = {"sha256sum", "--check", "--quiet", "--strict", path, NULL};
    CLEANUP(text_end) FILE *sums = path ? fopen(path, "we") : NULL;
    int ret;

    if (!sums)
        return error_set(error, path ? errno : ENOMEM, "cannot list the packages' digests");
    for (size_t i = 0; i < selection->count; i++) {
        const struct package *package = &selection->packages[i];
        CLEANUP(text_free) char *file = package_file(apt, package);

        if (!file)
            return error_set(error, ENOMEM, "out of memory");
        if (strspn(package->digest, "0123456789abcdef") != sizeof(package->digest) - 1)
            return error_set(error, EPROTO, "the archive's index has no digest of package \"%s\"",
                             package->name);
        fprintf(sums, "%s  %s\n", package->digest, file);
    }
    if (fflush(sums))
        return error_set(error, errno, "cannot write \"%s\": %s", path, error_words(errno));
    ret = apt_run(apt, argv, false, NULL, NULL, error);
    if (ret)
        return error_wrap(error, "a package in \"%s/archives\" is damaged; remove it and try again",
                          apt->build->cache);
    return 0;
}

static bool is_wanted(const char *name, const char *const *wanted)
{
    for (; *wanted; wanted++) {
        if (strcmp(*wanted, name) == 0)
            return true;
    }
    return false;
}

static int lists_write(struct apt *apt, const struct selection *selection,
                       const char *const *wanted, const char *list, const char *inventory,
                       struct error *error)
{
    CLEANUP(text_end) FILE *debs = fopen(list, "we");
    CLEANUP(text_end) FILE *packages = fopen(inventory, "we");

    if (!debs || !packages)
        return error_set(error, errno, "cannot list the packages: %s", error_words(errno));
    for (size_t i = 0; i < selection->count; i++) {
        const struct package *package = &selection->packages[i];
        CLEANUP(text_free) char *file = package_file(apt, package);

        if (!file)
            return error_set(error, ENOMEM, "out of memory");
        fprintf(debs, "%s\t%s\t%s\t%s\t%s\n", package->name, package->version,
                package->architecture, file, is_wanted(package->name, wanted) ? "manual" : "auto");
        fprintf(packages, "%s %s %s\n", package->name, package->version, package->architecture);
    }
    if (fflush(debs) || fflush(packages))
        return error_set(error, errno, "cannot list the packages: %s", error_words(errno));
    return 0;
}

int apt_download(struct apt *apt, const char *const *wanted, const char *list,
                 const char *inventory, struct error *error)
{
    const char *argv[ARGS_MAX] = {"apt-get",          "-qq",     "-o",
                                  "APT::Status-Fd=1", "install", "--download-only",
                                  "?essential"};
    CLEANUP(selection_release) struct selection selection = {0};
    size_t n = 7;
    int ret;

    for (size_t i = 0; wanted[i]; i++) {
        if (n >= ARGS_MAX - 1)
            return error_set(error, E2BIG, "too many packages are wanted");
        argv[n++] = wanted[i];
    }
    build_progress(apt->build, "downloading", 0, 100, "");
    ret = apt_run(apt, argv, true, download_progress, apt, error);
    if (ret)
        return ret;
    argv[1] = "--simulate";
    argv[3] = "APT::Status-Fd=-1";
    argv[5] = "--no-download";
    ret = apt_run(apt, argv, false, simulate_line, &selection, error);
    if (!ret && selection.count == 0)
        selection.failed = EPROTO;
    if (!ret && !selection.failed)
        ret = digests_read(apt, &selection, error);
    if (!ret && selection.failed)
        ret = error_set(error, selection.failed, "cannot understand what apt-get says: %s",
                        error_words(selection.failed));
    if (!ret)
        ret = digests_check(apt, &selection, error);
    if (!ret)
        ret = lists_write(apt, &selection, wanted, list, inventory, error);
    return ret;
}
