/* SPDX-License-Identifier: Apache-2.0 */
/* What of translated code outlives a machine: profiles and libraries. */
#include <errno.h>
#include <fcntl.h>

#include "machine/machine_parts.h"

/* ---- the code profile ---- */

static void machine_warn(const struct machine *machine, struct error *error)
{
    log_say(machine->log, LOG_WARN, "%s", error->message ? error->message : "out of memory");
    error_release(error);
}

/* A machine runs as well without. */
void machine_load_profile(struct machine *machine)
{
    struct error error = ERROR_INIT;

    if (!machine->description.profile)
        return;
    if (!machine->profile || profile_load(machine->profile, machine->description.profile, &error))
        machine_warn(machine, &error);
}

/* The CPUs have ended. */
void machine_save_profile(struct machine *machine)
{
    struct error error = ERROR_INIT;

    /* Without a translator nothing was learned, and nothing grows older. */
    if (!machine->description.profile || !machine->profile || !profile_is_used(machine->profile))
        return;
    if (profile_save(machine->profile, machine->description.profile, &error))
        machine_warn(machine, &error);
}

/* ---- the library of translated code ---- */

/* A machine runs as well without. */
void machine_open_library(struct machine *machine)
{
    struct error error = ERROR_INIT;
    int r;

    if (!machine->description.library)
        return;
    r = library_open(&machine->library, machine->description.library, &error);
    if (r == -ENOENT || r == -ESTALE)
        error_wrap(&error, "no translated code to share, make it with: hospes image translate");
    if (r)
        machine_warn(machine, &error);
}

int machine_open_new_library(struct machine *machine, struct error *error)
{
    const char *path = machine->description.new_library;

    if (!path)
        return 0;
    machine->new_library = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (machine->new_library < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", path, error_words(errno));
    return 0;
}

/* The CPUs have ended. */
void machine_save_library(struct machine *machine)
{
    struct engine_cpu *cpu = machine->cpus[0].cpu;
    int r;

    if (machine->new_library < 0)
        return;
    r = machine->engine.type->make_library(cpu, machine->new_library);
    if (r)
        log_say(machine->log, LOG_WARN, "cannot write the library of translated code: %s",
                error_words(-r));
}
