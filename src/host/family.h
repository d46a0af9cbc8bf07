/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a machine: its own, and that of its user network (network/user.c), which is its
 * child. For who sums up what a machine takes.
 */
#ifndef HOSPES_HOST_FAMILY_H
#define HOSPES_HOST_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A machine's process makes one child at most. */
#define FAMILY_MAX 2u

/* The process and its children; how many there are, at least 1. */
size_t family_find(pid_t pid, pid_t members[FAMILY_MAX]);

/* /proc/PID/FILE, as much of it as fits; "": not there. */
void process_text(pid_t pid, const char *file, char *text, size_t size);
/* Field `n` of the text of /proc/PID/stat, a number, counted as proc(5) does; 0: it has none. */
uint64_t process_stat(const char *text, unsigned n);
/* Whether the process has been killed, or its first thread has ended, so that the rest of it will.
 */
bool process_is_ending(pid_t pid);

#endif
