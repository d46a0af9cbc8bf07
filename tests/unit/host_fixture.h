/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of named machines share: a registry in a directory of its own, and files in it.
 */
#ifndef HOSPES_TESTS_UNIT_HOST_FIXTURE_H
#define HOSPES_TESTS_UNIT_HOST_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "host/registry.h"
#include "image/file.h"
#include "image/store.h"

struct host_fixture {
    char directory[32];
    struct registry registry;
};

static inline struct host_fixture *host_fixture_new(void)
{
    struct host_fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->registry.machines = text_format("%s/machines", f->directory);
    f->registry.run = text_format("%s/run", f->directory);
    assert_non_null(f->registry.machines);
    assert_non_null(f->registry.run);
    return f;
}

static inline void host_fixture_free(struct host_fixture *f)
{
    assert_int_equal(directory_remove(f->directory, NULL), 0);
    registry_release(&f->registry);
    free(f);
}

/* A process that has `hold` done to the machine's lock, and waits until it is killed. */
static inline pid_t holder_begin(struct host_fixture *f, bool (*hold)(struct host_fixture *f))
{
    int pipes[2];
    char byte = 0;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* As a jailed one, of which a user may not see what is open. */
        prctl(PR_SET_DUMPABLE, 0);
        byte = hold(f) ? 'y' : 'n';
        if (write(pipes[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(pipes[0]);
    close(pipes[1]);
    return child;
}

static inline void holder_end(pid_t child)
{
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static inline void text_write(const char *path, const char *text)
{
    assert_int_equal(file_write(path, text, strlen(text), false, NULL), 0);
}

static inline bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* MACHINES/NAME/FILE with a text; the directory is made. */
static inline void machine_file(struct host_fixture *f, const char *name, const char *file,
                                const char *text)
{
    CLEANUP(text_free) char *directory = registry_path(&f->registry, name, NULL);
    CLEANUP(text_free) char *path = registry_path(&f->registry, name, file);

    assert_int_equal(directory_make(directory, NULL), 0);
    text_write(path, text);
}

/* The error has these words in it; it is empty again then. */
static inline void assert_words(struct error *error, const char *words)
{
    assert_non_null(error->message);
    if (!strstr(error->message, words))
        fail_msg("\"%s\" is not in: %s", words, error->message);
    error_release(error);
}

#endif
