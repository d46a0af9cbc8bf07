/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `hospes doctor` knows about a host: one row a feature. A check only looks: it changes
 * nothing, needs no privileges and never fails; what it cannot find out it tells.
 */
#ifndef HOSPES_CLI_DOCTOR_H
#define HOSPES_CLI_DOCTOR_H

#define DOCTOR_TEXT_MAX 256

enum doctor_verdict {
    DOCTOR_GOOD,
    DOCTOR_ABSENT, /* hospes works without; something is slower or not offered */
    DOCTOR_NEEDED, /* what hospes promises does not work without */
};

struct doctor_finding {
    enum doctor_verdict verdict;
    char text[DOCTOR_TEXT_MAX];   /* what is there */
    char remedy[DOCTOR_TEXT_MAX]; /* a command or a setting; empty when good */
};

struct doctor_check {
    const char *name; /* as in the JSON */
    void (*look)(struct doctor_finding *finding);
};

/* All checks; ends with an empty row. */
const struct doctor_check *doctor_checks(void);

#endif
