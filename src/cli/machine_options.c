/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine_options.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/spec.h"

int machine_option_text(char **field, const char *text, struct error *error)
{
    if (description_set(field, text))
        return error_set(error, ENOMEM, "out of memory");
    return 0;
}

int machine_option_file(char **field, const struct option_walk *walk, struct error *error)
{
    if (!*walk->value)
        return error_usage(error, "'%s' names no file; use %s %s", walk->option->name,
                           walk->option->name, walk->option->value);
    return machine_option_text(field, walk->value, error);
}

int machine_option_limit(struct machine_limits *limits, const struct option_walk *walk,
                         struct error *error)
{
    int r;

    switch (walk->option->id) {
    case MACHINE_OPTION_DISK_IOPS:
        return spec_iops(walk->option->name, walk->value, &limits->disk_iops, error);
    case MACHINE_OPTION_DISK_RATE:
        return spec_rate(walk->option->name, walk->value, &limits->disk_bytes, error);
    case MACHINE_OPTION_NET_RATE:
        r = spec_rate(walk->option->name, walk->value, &limits->net_rate_in, error);
        limits->net_rate_out = limits->net_rate_in;
        return r;
    }
    BUG_ON(true);
}

int machine_option(struct machine_description *d, const struct option_walk *walk,
                   struct error *error)
{
    switch (walk->option->id) {
    case MACHINE_OPTION_CPUS:
        return option_number(walk, 1, MACHINE_CPUS_MAX, &d->cpus, error);
    case MACHINE_OPTION_CPUS_MAX:
        return option_number(walk, 1, MACHINE_CPUS_MAX, &d->cpus_max, error);
    case MACHINE_OPTION_MEMORY:
        return spec_memory(walk->value, d, error);
    case MACHINE_OPTION_MEMORY_MAX:
        return spec_memory_max(walk, d, error);
    case MACHINE_OPTION_NET:
        return spec_network(walk->value, d, error);
    case MACHINE_OPTION_PUBLISH:
        return spec_forward(walk->value, d, error);
    case MACHINE_OPTION_KERNEL:
        return machine_option_file(&d->kernel, walk, error);
    case MACHINE_OPTION_INITRD:
        return machine_option_file(&d->initrd, walk, error);
    case MACHINE_OPTION_APPEND:
        return machine_option_text(&d->append, walk->value, error);
    case MACHINE_OPTION_BIOS:
        return machine_option_file(&d->firmware, walk, error);
    case MACHINE_OPTION_CONSOLE:
        return spec_console(walk->value, d, error);
    case MACHINE_OPTION_MMU:
        return spec_paging(walk->value, d, error);
    case MACHINE_OPTION_ENGINE:
        return machine_option_text(&d->engine, walk->value, error);
    }
    return machine_option_limit(&d->limits, walk, error);
}

static int check_file(const char *what, const char *path, struct error *error)
{
    struct stat st;

    if (!path)
        return 0;
    if (stat(path, &st) != 0)
        return error_set(error, errno, "cannot open %s \"%s\": %s; check the path", what, path,
                         error_words(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(error, EISDIR, "cannot open %s \"%s\": is a directory; give a file", what,
                         path);
    if (access(path, R_OK) != 0)
        return error_set(error, errno, "cannot open %s \"%s\": %s; see: ls -l %s", what, path,
                         error_words(errno), path);
    return 0;
}

/* Memory is allotted when the guest touches it, so a machine larger than the host would die much
 * later, by the kernel's hand and without a word. */
static int check_memory(uint64_t memory, struct error *error)
{
    char asked[SIZE_TEXT_MAX], there[SIZE_TEXT_MAX];
    struct sysinfo info;
    uint64_t total;

    if (sysinfo(&info) != 0)
        return 0;
    total = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
    if (memory <= total)
        return 0;
    return error_set(error, ENOMEM,
                     "cannot give the machine %s of memory: this host has %s; use --memory %lluM "
                     "or less",
                     size_format(memory, asked), size_format(total, there),
                     (unsigned long long)(total >> 20) * 3 / 4 / 2 * 2);
}

int machine_options_check(const struct machine_description *d, struct error *error)
{
    int r = check_file("firmware", d->firmware, error);

    if (!r)
        r = check_file("kernel", d->kernel, error);
    if (!r)
        r = check_file("initrd", d->initrd, error);
    for (unsigned i = 0; !r && i < d->disk_count; i++)
        r = check_file("disk", d->disks[i].path, error);
    return r ? r : check_memory(d->memory, error);
}
