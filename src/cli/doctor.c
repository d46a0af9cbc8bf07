/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes doctor`: what this host offers, each with the remedy where it lacks. */
#include "cli/doctor.h"

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/option.h"

enum { DOCTOR_JSON = 1 };

/* Findings hold paths and kernel texts: what JSON (RFC 8259, section 7) does not take is escaped.
 */
static void json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void finding_print(const char *name, const struct doctor_finding *finding)
{
    static const char *const words[] = {
        [DOCTOR_GOOD] = "good", [DOCTOR_ABSENT] = "lacks", [DOCTOR_NEEDED] = "NEEDED"};

    printf("%-6s  %-16s %s\n", words[finding->verdict], name, finding->text);
    if (finding->remedy[0])
        printf("%-6s  %-16s -> %s\n", "", "", finding->remedy);
}

static void finding_print_json(const char *name, const struct doctor_finding *finding, bool first)
{
    static const char *const words[] = {
        [DOCTOR_GOOD] = "good", [DOCTOR_ABSENT] = "absent", [DOCTOR_NEEDED] = "needed"};

    printf("%s\n  {\"name\": ", first ? "[" : ",");
    json_string(name);
    printf(", \"verdict\": \"%s\", \"found\": ", words[finding->verdict]);
    json_string(finding->text);
    if (finding->remedy[0]) {
        printf(", \"remedy\": ");
        json_string(finding->remedy);
    }
    putchar('}');
}

static int doctor_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    bool json = false, needed = false;
    int kind;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes doctor --help",
                               walk.value);
        json = true;
    }
    if (kind < 0)
        return kind;
    for (const struct doctor_check *check = doctor_checks(); check->name; check++) {
        struct doctor_finding finding = {0};

        check->look(&finding);
        needed |= finding.verdict == DOCTOR_NEEDED;
        if (json)
            finding_print_json(check->name, &finding, check == doctor_checks());
        else
            finding_print(check->name, &finding);
        /* A check that forks must not find this line in the child's buffer again. */
        fflush(stdout);
    }
    if (json)
        printf("\n]\n");
    return needed ? EXIT_FAILED : EXIT_OK;
}

static const struct option doctor_options[] = {
    {DOCTOR_JSON, "--json", NULL, NULL, false, "print the findings as JSON"},
    {0},
};

static const struct example doctor_examples[] = {
    {"hospes doctor", "prints a line a feature: good, lacks (with the remedy) or NEEDED"},
    {0},
};

const struct command command_doctor = {
    .name = "doctor",
    .summary = "tell what this host offers, and the remedy where it lacks",
    .usage = "doctor [--json]",
    .about = "Nothing is changed. The exit status is 1 when something is missing that hospes\n"
             "cannot do without.",
    .options = doctor_options,
    .examples = doctor_examples,
    .run = doctor_run,
};
