/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.json: what a named machine is to be, whatever happens to it. JSON, so that other programs
 * may read it, with the fields of struct machine_description by their names; paths of its own files
 * are relative to its directory. Reading judges everything: -EINVAL for what is no machine of this
 * version, unknown fields included, so that nothing is silently left out.
 */
#ifndef HOSPES_HOST_RECORD_H
#define HOSPES_HOST_RECORD_H

#include <jansson.h>

#include "base/error.h"
#include "host/registry.h"
#include "machine/description.h"

#define RECORD_VERSION 1

/* Owns its strings. */
struct record {
    struct machine_description description; /* paths are absolute */
    char *image;                            /* what it was made from; NULL: no image */
    char *created;                          /* ISO 8601, UTC */
    char *merge_domain;  /* description.merge: with whose pages; NULL: of those without one */
    uint64_t memory_min; /* bytes that it is promised; 0: all of its memory */
    unsigned cpus_min;   /* CPUs that it is promised; 0: all that it has */
    unsigned cpu_weight; /* weight.h; 0: the default */
    unsigned cpu_cap;    /* per cent of one host CPU; 0: none */
};

#define RECORD_CPU_CAP_MAX (100u * MACHINE_CPUS_MAX)

/* What the machine is promised, in bytes. */
uint64_t record_memory_min(const struct record *record);
/* And in CPUs. */
unsigned record_cpus_min(const struct record *record);
/* What it can have while it runs. */
uint64_t record_memory_max(const struct record *record);

/* It is not promised more than it has; -EINVAL, a usage error. */
int record_check_promise(const struct record *record, struct error *error) MUST_CHECK;

/* A description with defaults. */
void record_init(struct record *record);
void record_release(struct record *record);

/* The description is good (description_check()), and can be written by record_to_json(): JSON is
 * UTF-8, and a path of the host's any bytes. */
int record_check(const struct record *record, const char *directory,
                 struct error *error) MUST_CHECK;
/* The description comes out checked (description_check()). */
int record_read(const struct registry *registry, const char *name, struct record *record,
                struct error *error) MUST_CHECK;
/* Replaces it whole or not at all. Under the machine's lock, or before it is one. */
int record_write(const struct registry *registry, const char *name, const struct record *record,
                 struct error *error) MUST_CHECK;

/* The same as a value; the caller drops it. `directory`: paths below it become relative; NULL: none
 * do. NULL: no memory. */
json_t *record_to_json(const struct record *record, const char *directory) MUST_CHECK;
/* -EINVAL with what is wrong; `record` is as record_init() left it then. */
int record_from_json(const json_t *json, const char *directory, struct record *record,
                     struct error *error) MUST_CHECK;

#endif
