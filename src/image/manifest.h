/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.json: what an image is, beside it. JSON, so that other programs may read it:
 *
 *   {"version": 1, "name": "debian", "architecture": "riscv64", "release": "debian trixie",
 *    "date": "2026-01-31T12:00:00Z", "append": "console=ttyS0 root=/dev/vda",
 *    "packages_sha256": "...", "kernel_sha256": "...", "initrd_sha256": "..."}
 *
 * The names of the files are fixed (image.h), so that a manifest cannot point out of its
 * directory.
 */
#ifndef HOSPES_IMAGE_MANIFEST_H
#define HOSPES_IMAGE_MANIFEST_H

#include "base/error.h"

#define MANIFEST_VERSION 1
#define SHA256_TEXT_SIZE 65 /* hexadecimal digits and the zero */

/* Owns its strings. */
struct manifest {
    char *name;
    char *architecture;
    char *release;
    char *date;
    char *append;
    char packages_sha256[SHA256_TEXT_SIZE];
    char kernel_sha256[SHA256_TEXT_SIZE];
    char initrd_sha256[SHA256_TEXT_SIZE];
};

void manifest_release(struct manifest *manifest);

/* -EINVAL for what is no manifest, or of a version that is not known. */
int manifest_read(const char *path, struct manifest *manifest, struct error *error) MUST_CHECK;
int manifest_write(const struct manifest *manifest, const char *path,
                   struct error *error) MUST_CHECK;

#endif
