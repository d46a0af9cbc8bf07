/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to an agent that says what a test wants it to, hostile things among it. */
/* clang-format off */
#include "host_fixture.h"
/* clang-format on */

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/unix_socket.h"
#include "host/agent.h"
#include "host/agent_cpus.h"
#include "host/agent_guest.h"
#include "host/base64.h"

struct fixture {
    struct host_fixture *host;
    char path[64];
    pid_t pid;
    const char *const *script; /* what is answered, one after the other; ends with NULL */
    FILE *heard;               /* what was asked, a line each */
    struct agent agent;
};

/* "execute" of each request. */
static void serve(const struct fixture *f, int listener)
{
    int fd;
    FILE *in;
    char line[1 << 16];
    const char *const *answer = f->script;

    while ((fd = accept(listener, NULL, NULL)) < 0)
        usleep(1000);
    in = fdopen(fd, "r");
    while (fgets(line, sizeof(line), in)) {
        json_t *json = json_loads(line + ((unsigned char)line[0] == 0xff), 0, NULL);
        const char *command = json_string_value(json_object_get(json, "execute"));

        if (command && !strcmp(command, "guest-sync-delimited")) {
            json_int_t id =
                json_integer_value(json_object_get(json_object_get(json, "arguments"), "id"));

            /* The first is of the client before. */
            dprintf(fd, "{\"return\": 5}\n\xff{\"return\": %lld}\n", (long long)id);
        } else {
            fputs(line, f->heard);
            fflush(f->heard);
            if (!*answer)
                _exit(0);
            dprintf(fd, "%s\n", *answer++);
        }
        json_decref(json);
    }
    _exit(0);
}

static void begin(struct fixture *f, const char *const *script)
{
    int listener = unix_socket_listen(f->path, 4);
    struct error error = ERROR_INIT;

    assert_true(listener >= 0);
    f->script = script;
    f->heard = tmpfile();
    assert_non_null(f->heard);
    f->pid = fork();
    if (!f->pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(f, listener);
    }
    close(listener);
    if (agent_open(&f->agent, f->path, 5000, &error))
        fail_msg("%s", error.message);
}

/* The n-th question, from 0 on. The caller drops it. */
static json_t *heard(struct fixture *f, unsigned n)
{
    char line[1 << 16] = "";

    rewind(f->heard);
    for (unsigned i = 0; i <= n; i++)
        assert_non_null(fgets(line, sizeof(line), f->heard));
    return json_loads(line, 0, NULL);
}

static void heard_is(struct fixture *f, unsigned n, const char *command, const char *arguments)
{
    json_t *question = heard(f, n), *expected = json_loads(arguments, JSON_DECODE_ANY, NULL);
    json_t *given = json_object_get(question, "arguments");

    assert_string_equal(json_string_value(json_object_get(question, "execute")), command);
    if (!json_equal(given ? given : json_null(), expected))
        fail_msg("%s was asked with %s", command, json_dumps(given, 0));
    json_decref(question);
    json_decref(expected);
}

static void end(struct fixture *f)
{
    agent_close(&f->agent);
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    fclose(f->heard);
    unlink(f->path);
}

/* ---- programs ---- */

static void test_program(void **state)
{
    static const char *const script[] = {
        "{\"return\": {\"pid\": 7}}",
        "{\"return\": {\"exited\": false}}",
        "{\"return\": {\"exited\": true, \"exitcode\": 3, \"out-data\": \"b3V0AAo=\", "
        "\"err-data\": \"ZXJy\", \"out-truncated\": true}}",
        "{\"return\": {\"pid\": 8}}",
        "{\"return\": {\"exited\": true, \"signal\": 9}}",
        NULL};
    const char *const argv[] = {"echo", "a b", NULL};
    struct fixture *f = *state;
    struct agent_output output;

    begin(f, script);
    assert_int_equal(agent_run(&f->agent, argv, "in", 2, &output, NULL), 0);
    assert_int_equal(output.status, 3);
    assert_true(output.truncated);
    assert_int_equal(output.out_size, 5);
    assert_memory_equal(output.out, "out\0\n", 5);
    assert_int_equal(output.err_size, 3);
    assert_memory_equal(output.err, "err", 3);
    agent_output_release(&output);
    heard_is(f, 0, "guest-exec",
             "{\"path\": \"echo\", \"arg\": [\"a b\"], \"capture-output\": true, \"input-data\": "
             "\"aW4=\"}");
    heard_is(f, 2, "guest-exec-status", "{\"pid\": 7}");
    assert_int_equal(agent_run(&f->agent, argv, NULL, 0, &output, NULL), 0);
    assert_int_equal(output.status, 128 + 9);
    assert_false(output.truncated);
    assert_int_equal(output.out_size, 0);
    agent_output_release(&output);
    end(f);
}

/* What an agent may say instead. */
static void test_hostile_programs(void **state)
{
    static const struct {
        const char *const script[3];
        int code;
        const char *words;
    } cases[] = {
        {{"{\"error\": {\"desc\": \"no \\u001b[2J such\"}}"},
         -EREMOTEIO,
         "refuses \"guest-exec\": no ?[2J such"},
        {{"{\"error\": 5}"}, -EREMOTEIO, "for no reason"},
        {{"{\"return\": {\"pid\": \"x\"}}"}, -EPROTO, "did not say"},
        {{"{\"return\": {\"pid\": 7}}", "{\"return\": {\"exited\": true, \"out-data\": \"*\"}}"},
         -EPROTO,
         "cannot be read"},
        {{"{\"return\": {\"pid\": 7}}", NULL}, -ECONNRESET, "closed"},
        {{"garbage\n[1,2\n\n{\"return\": {\"pid\": 7}}", NULL}, -ECONNRESET, "closed"},
    };
    const char *const argv[] = {"x", NULL};
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error = ERROR_INIT;
        struct agent_output output;

        begin(f, cases[i].script);
        assert_int_equal(agent_run(&f->agent, argv, NULL, 0, &output, &error), cases[i].code);
        assert_words(&error, cases[i].words);
        end(f);
    }
}

/* ---- files ---- */

static int file_with(const char *text)
{
    int fd = memfd_create("file", 0);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void test_file_in(void **state)
{
    static const char *const script[] = {"{\"return\": 1000}", "{\"return\": {\"count\": 2}}",
                                         "{\"return\": {\"count\": 3}}", "{\"return\": {}}", NULL};
    struct fixture *f = *state;
    int fd = file_with("hello");

    begin(f, script);
    assert_int_equal(agent_put_file(&f->agent, fd, "/root/x", NULL), 0);
    heard_is(f, 0, "guest-file-open", "{\"path\": \"/root/x\", \"mode\": \"w\"}");
    heard_is(f, 1, "guest-file-write", "{\"handle\": 1000, \"buf-b64\": \"aGVsbG8=\"}");
    heard_is(f, 2, "guest-file-write", "{\"handle\": 1000, \"buf-b64\": \"bGxv\"}");
    heard_is(f, 3, "guest-file-close", "{\"handle\": 1000}");
    end(f);
    close(fd);
}

static void test_file_out(void **state)
{
    static const char *const script[] = {
        "{\"return\": 1000}",
        "{\"return\": {\"count\": 5, \"buf-b64\": \"aGVsbG8=\", \"eof\": false}}",
        "{\"return\": {\"count\": 1, \"buf-b64\": \"IQ==\", \"eof\": true}}", "{\"return\": {}}",
        NULL};
    struct fixture *f = *state;
    int fd = file_with("what was there before");
    char text[64];

    begin(f, script);
    assert_int_equal(agent_get_file(&f->agent, "/root/x", fd, NULL), 0);
    assert_int_equal(pread(fd, text, sizeof(text), 0), 6);
    assert_memory_equal(text, "hello!", 6);
    end(f);
    close(fd);
}

static void test_hostile_files(void **state)
{
    static const struct {
        const char *const script[5];
        const char *words;
    } cases[] = {
        {{"{\"return\": \"x\"}"}, "did not say as what"},
        {{"{\"return\": 1}", "{\"return\": {\"buf-b64\": \"*\"}}", "{\"return\": {}}"}, "no piece"},
        {{"{\"return\": 1}", "{\"return\": 5}", "{\"return\": {}}"}, "no piece"},
        {{"{\"return\": 1}", "{\"error\": {\"desc\": \"gone\"}}", "{\"return\": {}}"}, "gone"},
    };
    struct fixture *f = *state;
    int fd = file_with("x");

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error error = ERROR_INIT;

        begin(f, cases[i].script);
        assert_true(agent_get_file(&f->agent, "/x", fd, &error) < 0);
        assert_words(&error, cases[i].words);
        end(f);
    }
    begin(f, (const char *const[]){"{\"return\": 1}", "{\"return\": {\"count\": 9}}",
                                   "{\"return\": {}}", NULL});
    assert_int_equal(write(fd, "some", 4), 4);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(agent_put_file(&f->agent, fd, "/x", NULL), -EPROTO);
    end(f);
    close(fd);
}

/* ---- the guest ---- */

static void test_cpus(void **state)
{
    static const char *const script[] = {
        "{\"return\": [{\"logical-id\": 0, \"online\": true, \"can-offline\": false}, "
        "{\"logical-id\": 1, \"online\": true, \"can-offline\": true}, {\"logical-id\": 2, "
        "\"online\": true, \"can-offline\": true}]}",
        "{\"return\": 2}", NULL};
    struct fixture *f = *state;

    begin(f, script);
    assert_int_equal(agent_set_cpus(&f->agent, 1, 5000, NULL), 0);
    heard_is(f, 1, "guest-set-vcpus",
             "{\"vcpus\": [{\"logical-id\": 1, \"online\": false}, {\"logical-id\": 2, "
             "\"online\": false}]}");
    end(f);
}

#define SIXTEEN   "0123456789abcdef"
#define LONG_TEXT SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

static void describes(struct fixture *f, const char *const *script, const char *expected)
{
    json_t *guest = NULL, *json = json_loads(expected, 0, NULL);

    begin(f, script);
    assert_int_equal(agent_describe(&f->agent, 5000, &guest, NULL), 0);
    assert_non_null(json);
    if (!json_equal(guest, json))
        fail_msg("described as %s", json_dumps(guest, 0));
    json_decref(guest);
    json_decref(json);
    end(f);
}

static void test_description(void **state)
{
    describes(*state,
              (const char *const[]){
                  "{\"return\": {\"host-name\": \"web\"}}",
                  "{\"return\": {\"pretty-name\": \"Debian\"}}",
                  "{\"return\": [{\"name\": \"lo\"}, {\"name\": \"eth0\", \"hardware-address\": "
                  "\"52:54:00:12:34:56\", \"ip-addresses\": [{\"ip-address\": \"10.0.2.15\", "
                  "\"prefix\": 24}, {\"ip-address\": \"fe80::1\", \"prefix\": 64}]}, {\"name\": "
                  "\"eth1\"}]}",
                  NULL},
              "{\"host_name\": \"web\", \"system\": \"Debian\", \"interfaces\": [{\"name\": "
              "\"eth0\", \"mac\": \"52:54:00:12:34:56\", \"addresses\": [\"10.0.2.15/24\", "
              "\"fe80::1/64\"]}, {\"name\": \"eth1\", \"addresses\": []}]}");
    describes(*state,
              (const char *const[]){"{\"error\": {}}", "{\"error\": {}}", "{\"return\": []}", NULL},
              "{\"interfaces\": []}");
    describes(*state,
              (const char *const[]){"{\"error\": {}}", "{\"error\": {}}", "{\"error\": {}}", NULL},
              "{}");
}

static void test_hostile_descriptions(void **state)
{
    /* Bounded, without control characters, and what is no text is not there. 127 letters and one of
     * two bytes do not fit. */
    describes(*state,
              (const char *const[]){
                  "{\"return\": {\"host-name\": \"a\\u001b[2Jb\\nc\\u007f\"}}",
                  "{\"return\": {\"pretty-name\": \"" LONG_TEXT "\"}}",
                  "{\"return\": [5, {\"name\": 5}, {\"name\": \"e\", \"hardware-address\": [], "
                  "\"ip-addresses\": [{\"ip-address\": \"x\", \"prefix\": 129}, {\"ip-address\": "
                  "\"x\", \"prefix\": -1}, {\"ip-address\": 5}, 5, {\"ip-address\": \"" LONG_TEXT
                  "\", \"prefix\": 128}]}]}",
                  NULL},
              "{\"host_name\": \"a?[2Jb?c?\", \"system\": \"" SIXTEEN SIXTEEN SIXTEEN SIXTEEN
                  SIXTEEN SIXTEEN SIXTEEN SIXTEEN
              "\", \"interfaces\": [{\"name\": \"e\", \"addresses\": [\"" SIXTEEN SIXTEEN SIXTEEN
                  SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN "/128\"]}]}");
    describes(*state,
              (const char *const[]){"{\"return\": {\"host-name\": \"" SIXTEEN SIXTEEN SIXTEEN
                                        SIXTEEN SIXTEEN SIXTEEN SIXTEEN "0123456789abcde\u00e9\"}}",
                                    "{\"return\": 5}", "{\"return\": 5}", NULL},
              "{\"host_name\": \"" SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN
              "0123456789abcde\"}");
}

/* More interfaces and addresses than anybody has. */
static void test_endless_description(void **state)
{
    const size_t room = 4 << 20;
    char *text = malloc(room), *to = text;
    const char *script[] = {"{\"error\": {}}", "{\"error\": {}}", text, NULL};
    struct fixture *f = *state;
    json_t *guest = NULL;

    to += sprintf(to, "{\"return\": [{\"name\": \"e\"}");
    for (unsigned i = 0; i < 100; i++) {
        to += sprintf(to, ", {\"name\": \"e%u\", \"ip-addresses\": [{}", i);
        for (unsigned k = 0; k < 100; k++)
            to += sprintf(to, ", {\"ip-address\": \"%u\", \"prefix\": 1}", k);
        to += sprintf(to, "]}");
    }
    sprintf(to, "]}");
    begin(f, script);
    assert_int_equal(agent_describe(&f->agent, 5000, &guest, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(guest, "interfaces")), 64);
    assert_int_equal(json_array_size(
                         json_object_get(json_array_get(json_object_get(guest, "interfaces"), 63),
                                         "addresses")),
                     63);
    json_decref(guest);
    free(text);
    end(f);
}

static void test_freeze(void **state)
{
    static const struct {
        const char *answer;
        int code;
        unsigned count;
    } cases[] = {{"{\"return\": 2}", 0, 2},
                 {"{\"return\": -1}", -EPROTO, 0},
                 {"{\"return\": 99999999999}", -EPROTO, 0},
                 {"{\"return\": true}", -EPROTO, 0}};
    struct fixture *f = *state;
    unsigned count;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        begin(f, (const char *const[]){cases[i].answer, NULL});
        assert_int_equal(agent_freeze(&f->agent, &count, NULL), cases[i].code);
        if (!cases[i].code)
            assert_int_equal(count, cases[i].count);
        end(f);
    }
    begin(f, (const char *const[]){"{\"return\": 3}", NULL});
    assert_int_equal(agent_thaw(&f->agent, &count, NULL), 0);
    assert_int_equal(count, 3);
    heard_is(f, 0, "guest-fsfreeze-thaw", "null");
    end(f);
}

static void test_power_off(void **state)
{
    struct fixture *f = *state;

    begin(f, (const char *const[]){NULL});
    assert_int_equal(agent_power_off(&f->agent, NULL), 0);
    waitpid(f->pid, NULL, 0);
    heard_is(f, 0, "guest-shutdown", "{\"mode\": \"powerdown\"}");
    end(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->host = host_fixture_new();
    snprintf(f->path, sizeof(f->path), "%s/agent", f->host->directory);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    host_fixture_free(f->host);
    free(f);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_program),
        CASE(test_hostile_programs),
        CASE(test_file_in),
        CASE(test_file_out),
        CASE(test_hostile_files),
        CASE(test_cpus),
        CASE(test_description),
        CASE(test_hostile_descriptions),
        CASE(test_endless_description),
        CASE(test_freeze),
        CASE(test_power_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
