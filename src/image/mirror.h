/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the distribution's archive is: asked for, never spelt here.
 *
 * In this order: the caller's URL; $HOSPES_MIRROR; the Debian sites in the host's own apt
 * configuration (`apt-get indextargets`); the mirror that mmdebstrap is configured with, for hosts
 * of another distribution.
 */
#ifndef HOSPES_IMAGE_MIRROR_H
#define HOSPES_IMAGE_MIRROR_H

#include "base/error.h"

struct mirror {
    char *archive;  /* owned; http or https URL, no slash at its end */
    char *security; /* owned; the archive of security updates, or NULL */
};

void mirror_release(struct mirror *mirror);

/* `url` may be NULL. -ENOENT with the next step when nothing is known. */
int mirror_find(const char *url, struct mirror *mirror, struct error *error) MUST_CHECK;

/* Reads lines "ORIGIN|LABEL|URI" as apt-get indextargets gives them. Sets what it finds and leaves
 * the rest. -ENOMEM. For mirror_find() and its test. */
int mirror_from_targets(const char *lines, struct mirror *mirror) MUST_CHECK;
/* Reads one-line apt sources ("deb [options] URI SUITE ..."). For mirror_find() and its test. */
int mirror_from_sources(const char *lines, struct mirror *mirror) MUST_CHECK;

#endif
