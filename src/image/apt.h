/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private apt: the host's apt-get with a configuration, lists and a cache of its own, which
 * resolves, downloads and verifies packages of a foreign architecture for any user. It installs
 * nothing and reads nothing of the host's package state; of the host's configuration it takes the
 * proxies and the other settings of transport.
 */
#ifndef HOSPES_IMAGE_APT_H
#define HOSPES_IMAGE_APT_H

#include <stdbool.h>

#include "image/mirror.h"
#include "image/recipe.h"

struct apt {
    const struct build *build;
    const char *architecture;
    const char *keyring; /* of the host; static storage */
    char *config;        /* owned: path of apt.conf */
    char *sources;       /* owned: path of the sources in use, deb822 */
};

/* Writes the configuration. -ENOENT when the archive's keyring is not installed. */
int apt_init(struct apt *apt, const struct build *build, const char *architecture,
             struct error *error) MUST_CHECK;
void apt_release(struct apt *apt);

/* Refreshes the lists of `suite`, and of its updates and security updates where the mirror's
 * indexes of those verify; a broken one is left out and named to the person. Afterwards
 * *guest_sources (caller frees) is what belongs into the guest: what was found good. */
int apt_update(struct apt *apt, const struct mirror *mirror, const char *suite,
               char **guest_sources, struct error *error) MUST_CHECK;

/* Downloads the essential packages, `wanted` (ends with NULL) and what they depend on; compares
 * each file with its digest in the signed index; writes the list that first-stage reads to `list`,
 * and "package version architecture" lines to `inventory`. */
int apt_download(struct apt *apt, const char *const *wanted, const char *list,
                 const char *inventory, struct error *error) MUST_CHECK;

#endif
