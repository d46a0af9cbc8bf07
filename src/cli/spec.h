/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small languages inside option values: --disk, --publish, --net and so on. Each adds what it
 * read to a machine description, or sets a usage error that quotes the text and gives the form,
 * and leaves the description as it was.
 */
#ifndef HOSPES_CLI_SPEC_H
#define HOSPES_CLI_SPEC_H

#include "base/error.h"
#include "cli/option.h"
#include "machine/description.h"

/* PATH[,readonly][,ephemeral][,serial=TEXT]; a comma in the path is written twice. */
int spec_disk(const char *text, struct machine_description *description,
              struct error *error) MUST_CHECK;
/* [ADDRESS:]HOST:GUEST[/tcp|/udp]; an IPv6 address stands in brackets. */
int spec_forward(const char *text, struct machine_description *description,
                 struct error *error) MUST_CHECK;
/* user, none, tap=NAME or the name of a network between machines; each adds an interface. */
int spec_network(const char *text, struct machine_description *description,
                 struct error *error) MUST_CHECK;
/* serial or virtio. */
/* "sv39", "sv48" or "sv57". */
int spec_paging(const char *text, struct machine_description *description,
                struct error *error) MUST_CHECK;
int spec_console(const char *text, struct machine_description *description,
                 struct error *error) MUST_CHECK;
/* PATH[,cid=N]; a comma in the path is written twice. */
int spec_vsock(const char *text, struct machine_description *description,
               struct error *error) MUST_CHECK;
/* The value of the walk's option: a number of bytes with a unit. */
int spec_bytes(const struct option_walk *walk, uint64_t *bytes, struct error *error) MUST_CHECK;
/* SIZE or SIZE,balloon, of `walk`. */
int spec_memory_max(const struct option_walk *walk, struct machine_description *description,
                    struct error *error) MUST_CHECK;
/* A number from 1 to `most`, which "%" may follow, or "none" or 0: 0. */
int spec_per_cent(const struct option_walk *walk, unsigned most, unsigned *number,
                  struct error *error) MUST_CHECK;
/* A number of bytes with a unit; plain numbers below 64 Ki are taken for a unit forgotten. */
int spec_memory(const char *text, struct machine_description *description,
                struct error *error) MUST_CHECK;
/* A limit, of the option of that name: a number a second, or bytes a second with a unit; "none" or
 * 0 is 0. */
int spec_iops(const char *option, const char *text, uint64_t *iops, struct error *error) MUST_CHECK;
int spec_rate(const char *option, const char *text, uint64_t *rate, struct error *error) MUST_CHECK;

#endif
