/* SPDX-License-Identifier: Apache-2.0 */
/* The first process of a machine without a distribution: says that user space is there, and then
 * runs programs of /bench/programs as lines on the console tell it. What it is sent is the same as
 * a shell would be: "PATH ARGUMENT; echo "status-is $?"", of which it does the one thing.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* The lines would come back between the results. */
static void echo_off(void)
{
    struct termios terminal;

    if (tcgetattr(STDIN_FILENO, &terminal) == 0) {
        terminal.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    }
}

static int run(char *line)
{
    char *arguments[8] = {NULL};
    unsigned count = 0;
    int status;
    pid_t child;

    line[strcspn(line, ";\n")] = '\0';
    for (char *word = strtok(line, " "); word && count < 7; word = strtok(NULL, " "))
        arguments[count++] = word;
    if (!count)
        return 0;
    child = fork();
    if (child == 0) {
        execv(arguments[0], arguments);
        perror(arguments[0]);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 126;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
    char line[256];

    echo_off();
    mount("proc", "/proc", "proc", 0, NULL);
    puts("bench: user space");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("status-is %d\n", run(line));
        fflush(stdout);
    }
    /* A kernel whose first process ends stops with a panic, and QEMU and hospes would each answer
     * that in its own way. */
    for (;;)
        pause();
}
