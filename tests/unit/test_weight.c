/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as nice values, and that all threads of a process get them. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/weight.h"

static void test_nice_values(void **state)
{
    static const struct {
        unsigned weight;
        int nice;
    } rows[] = {{1, 19},  {2, 18},  {25, 6},   {41, 4},   {50, 3},     {80, 1},     {95, 0},
                {100, 0}, {105, 0}, {125, -1}, {200, -3}, {1000, -10}, {8674, -20}, {10000, -20}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(weight_to_nice(rows[i].weight), rows[i].nice);
    for (unsigned w = WEIGHT_MIN; w < WEIGHT_MAX; w++)
        assert_true(weight_to_nice(w + 1) <= weight_to_nice(w));
}

struct other {
    sem_t ready, leave;
    pid_t thread;
};

static void *other_main(void *arg)
{
    struct other *other = arg;

    other->thread = (pid_t)syscall(SYS_gettid);
    sem_post(&other->ready);
    sem_wait(&other->leave);
    return NULL;
}

/* In a child of its own session: what is set cannot always be taken back. Returns its status. */
static int child_main(void)
{
    struct other other;
    pthread_t thread;

    if (setsid() < 0 || sem_init(&other.ready, 0, 0) || sem_init(&other.leave, 0, 0) ||
        pthread_create(&thread, NULL, other_main, &other))
        return 2;
    sem_wait(&other.ready);
    if (weight_set(50, NULL) || getpriority(PRIO_PROCESS, 0) != 3 ||
        getpriority(PRIO_PROCESS, (id_t)other.thread) != 3)
        return 3;
    if (weight_set(25, NULL) || getpriority(PRIO_PROCESS, (id_t)other.thread) != 6)
        return 4;
    if (geteuid() && weight_set(400, NULL) != -EPERM)
        return 5;
    sem_post(&other.leave);
    pthread_join(thread, NULL);
    return 0;
}

static void test_all_threads(void **state)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child)
        _exit(child_main());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nice_values),
        cmocka_unit_test(test_all_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
