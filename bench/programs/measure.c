/* SPDX-License-Identifier: Apache-2.0 */
/* Measures a script of the suite of real programs: measure NAME UNITS SCRIPT
 *
 * Runs "sh SCRIPT prepare UNITS", "... work UNITS" and "... check UNITS" in an empty directory of
 * its own. Only the work is measured; what work and check print makes the checksum. Static, so that
 * it is the same program whatever root directory it is started in.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "measure: %s failed: %s\n", what, strerror(errno));
    exit(1);
}

static double seconds_now(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        fail("clock_gettime");
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run(const char *script, const char *step, const char *units, int output)
{
    pid_t child = fork();
    int status;

    if (child < 0)
        fail("fork");
    if (child == 0) {
        if (dup2(output, STDOUT_FILENO) < 0)
            _exit(126);
        execl("/bin/sh", "sh", script, step, units, (char *)NULL);
        _exit(127);
    }
    if (waitpid(child, &status, 0) != child)
        fail("waitpid");
    if (status != 0) {
        fprintf(stderr, "measure: \"%s %s %s\" failed with status %#x\n", script, step, units,
                (unsigned)status);
        exit(1);
    }
}

/* FNV-1a */
static uint64_t sum_of(int fd)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    uint8_t buffer[4096];
    ssize_t got;

    if (lseek(fd, 0, SEEK_SET) != 0)
        fail("lseek");
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < got; i++)
            sum = (sum ^ buffer[i]) * UINT64_C(0x100000001b3);
    }
    if (got < 0)
        fail("read");
    return sum;
}

int main(int argc, char **argv)
{
    char directory[] = "/tmp/measure.XXXXXX";
    double began, ended;
    int output;

    if (argc != 4) {
        fprintf(stderr, "usage: measure NAME UNITS SCRIPT\n");
        return 2;
    }
    if (!mkdtemp(directory) || chdir(directory) != 0)
        fail("mkdtemp");
    output = open("output", O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (output < 0)
        fail("open");
    if (clearenv() != 0 || setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) != 0 ||
        setenv("LC_ALL", "C", 1) != 0 || setenv("HOME", "/tmp", 1) != 0)
        fail("setenv");
    run(argv[3], "prepare", argv[2], STDERR_FILENO);
    began = seconds_now();
    run(argv[3], "work", argv[2], output);
    ended = seconds_now();
    run(argv[3], "check", argv[2], output);
    printf("%s %.6f %016" PRIx64 " %s\n", argv[1], ended - began, sum_of(output), argv[2]);
    fflush(stdout);
    execl("/bin/rm", "rm", "-rf", directory, (char *)NULL);
    fail("rm");
}
