/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface in a network namespace of the test's own: a guest of a few frames is pinged by
 * nobody but this host kernel, and the errors that a user can meet.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "namespace.h"
#include "network/net.h"

#define NS_PER_MS   1000000u
#define PATIENCE_MS 5000u
#define FRAME_SIZE  100

/* An EtherType for experiments (IEEE 802, local experimental EtherType 1). */
enum { ETHERTYPE_EXPERIMENT = 0x88b5 };

struct guest {
    struct loop *loop;
    struct net *net;
    struct timer patience;
    bool deaf;
    unsigned refused;
    unsigned received; /* of ours */
    unsigned wanted;
    uint8_t first; /* the byte behind the header of the first frame */
    uint8_t last;  /* and of the last */
    char log[256];
};

static bool guest_receive(void *ctx, const uint8_t *frame, uint32_t length)
{
    struct guest *guest = ctx;

    if (guest->deaf) {
        guest->refused++;
        return false;
    }
    /* The host kernel sends its own as well (IPv6 router solicitations). */
    if (length != FRAME_SIZE || (frame[12] << 8 | frame[13]) != ETHERTYPE_EXPERIMENT)
        return true;
    guest->last = frame[14];
    if (!guest->received++)
        guest->first = frame[14];
    if (guest->received == guest->wanted)
        loop_stop(guest->loop, 1);
    return true;
}

static void guest_tired(void *ctx)
{
    struct guest *guest = ctx;

    loop_stop(guest->loop, 0);
}

static void guest_log(void *ctx, enum log_level level, const char *text)
{
    struct guest *guest = ctx;

    snprintf(guest->log, sizeof(guest->log), "%s", text);
}

/* Returns true when so many frames came, false after the time. */
static bool guest_wait(struct guest *guest, unsigned wanted, unsigned ms)
{
    guest->wanted = wanted;
    timer_set(&guest->patience, monotonic_ns() + (uint64_t)ms * NS_PER_MS);
    return loop_run(guest->loop);
}

static int group_setup(void **state)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    if (!guest || loop_new(&guest->loop))
        return -1;
    timer_init(&guest->patience, guest->loop, guest_tired, guest);
    *state = guest;
    return 0;
}

static int group_teardown(void **state)
{
    struct guest *guest = *state;

    loop_free(guest->loop);
    free(guest);
    return 0;
}

static void guest_open(struct guest *guest, const char *interface)
{
    const struct net_port port = {.receive = guest_receive, .ctx = guest};
    const struct log log = {.sink = guest_log, .ctx = guest};
    struct error error = ERROR_INIT;

    guest->received = guest->refused = 0;
    guest->log[0] = 0;
    if (net_tap_new(&guest->net, guest->loop, interface, &log, &error))
        fail_msg("%s", error.message);
    net_attach(guest->net, &port);
}

static int packet_socket(const char *interface)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETHERTYPE_EXPERIMENT),
                                  .sll_ifindex = (int)if_nametoindex(interface)};
    struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE_EXPERIMENT));

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static void frame_fill(uint8_t *frame, uint8_t value)
{
    memset(frame, 0xff, 6);
    memcpy(frame + 6, "\x52\x54\x00\x12\x34\x56", 6);
    frame[12] = ETHERTYPE_EXPERIMENT >> 8;
    frame[13] = ETHERTYPE_EXPERIMENT & 0xff;
    memset(frame + 14, value, FRAME_SIZE - 14);
}

static void frames_pass_both_ways(void **state)
{
    struct guest *guest = *state;
    uint8_t frame[FRAME_SIZE], got[2048];
    struct iovec iov[2] = {{.iov_base = frame, .iov_len = 30},
                           {.iov_base = frame + 30, .iov_len = FRAME_SIZE - 30}};
    struct sockaddr_ll from;
    socklen_t size = sizeof(from);
    int fd;

    guest_open(guest, "hospes0");
    assert_string_equal(guest->log, ""); /* made here, so up already */
    fd = packet_socket("hospes0");

    frame_fill(frame, 0x11);
    net_send(guest->net, iov, 2, FRAME_SIZE);
    assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &size),
                     FRAME_SIZE);
    assert_memory_equal(got, frame, FRAME_SIZE);

    frame_fill(frame, 0x22);
    assert_int_equal(send(fd, frame, FRAME_SIZE, 0), FRAME_SIZE);
    assert_true(guest_wait(guest, 1, PATIENCE_MS));
    assert_int_equal(guest->first, 0x22);
    close(fd);
    net_free(guest->net);
    /* What was made for the machine goes with it. */
    assert_int_equal(if_nametoindex("hospes0"), 0);
}

static void nothing_is_lost_while_the_guest_is_deaf(void **state)
{
    struct guest *guest = *state;
    uint8_t frame[FRAME_SIZE];
    unsigned i, refused;
    int fd;

    guest_open(guest, "hospes1");
    fd = packet_socket("hospes1");
    guest->deaf = true;
    for (i = 0; i < 100; i++) {
        frame_fill(frame, (uint8_t)i);
        assert_int_equal(send(fd, frame, FRAME_SIZE, 0), FRAME_SIZE);
    }
    assert_false(guest_wait(guest, 1, 50));
    assert_int_equal(guest->refused, 1); /* then it was left alone */
    net_ready(guest->net);
    assert_false(guest_wait(guest, 1, 10));
    refused = guest->refused;
    assert_int_equal(refused, 2);
    guest->deaf = false;
    net_ready(guest->net);
    assert_true(guest_wait(guest, 100, PATIENCE_MS));
    assert_int_equal(guest->first, 0);
    assert_int_equal(guest->last, 99);
    close(fd);
    net_free(guest->net);
}

static void hostile_frames_are_dropped(void **state)
{
    struct guest *guest = *state;
    static uint8_t frame[NET_FRAME_MAX + 1];
    struct iovec iov = {.iov_base = frame, .iov_len = 13};

    guest_open(guest, "hospes2");
    net_send(guest->net, &iov, 1, 13);
    net_send(guest->net, &iov, 0, 0);
    iov.iov_len = NET_FRAME_MAX + 1;
    net_send(guest->net, &iov, 1, NET_FRAME_MAX + 1);
    iov.iov_len = NET_FRAME_MAX;
    net_send(guest->net, &iov, 1, NET_FRAME_MAX);
    net_free(guest->net);
}

static void interface_set_down(const char *interface)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};

    snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

static void interface_that_is_down_drops(void **state)
{
    struct guest *guest = *state;
    uint8_t frame[FRAME_SIZE];
    struct iovec iov = {.iov_base = frame, .iov_len = FRAME_SIZE};

    guest_open(guest, "hospes3");
    interface_set_down("hospes3");
    frame_fill(frame, 1);
    net_send(guest->net, &iov, 1, FRAME_SIZE);
    assert_false(guest_wait(guest, 1, 10));
    net_free(guest->net);
}

/* RTM_DELLINK (rtnetlink(7)): what "ip link delete" does. */
static void interface_delete(const char *interface)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
    } message = {
        .header = {.nlmsg_len = sizeof(message),
                   .nlmsg_type = RTM_DELLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .link = {.ifi_index = (int)if_nametoindex(interface)},
    };
    uint8_t answer[256];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    assert_int_equal(send(fd, &message, sizeof(message), 0), sizeof(message));
    assert_true(recv(fd, answer, sizeof(answer), 0) > 0);
    close(fd);
    assert_int_equal(if_nametoindex(interface), 0);
}

static void deleted_interface_is_told_once(void **state)
{
    struct guest *guest = *state;
    uint8_t frame[FRAME_SIZE];
    struct iovec iov = {.iov_base = frame, .iov_len = FRAME_SIZE};

    guest_open(guest, "hospes5");
    interface_delete("hospes5");
    assert_false(guest_wait(guest, 1, 20));
    assert_non_null(strstr(guest->log, "\"hospes5\" is gone"));
    guest->log[0] = 0;
    frame_fill(frame, 1);
    net_send(guest->net, &iov, 1, FRAME_SIZE);
    net_ready(guest->net);
    assert_false(guest_wait(guest, 1, 20));
    assert_string_equal(guest->log, "");
    net_free(guest->net);
}

static void open_fails(struct guest *guest, const char *interface, int code, const char *words)
{
    struct error error = ERROR_INIT;
    struct net *net = NULL;

    assert_int_equal(net_tap_new(&net, guest->loop, interface, NULL, &error), -code);
    assert_null(net);
    assert_non_null(error.message);
    if (!strstr(error.message, words))
        fail_msg("\"%s\" does not say \"%s\"", error.message, words);
    assert_int_equal(error.usage, code == EINVAL && strstr(words, "not a name"));
    error_release(&error);
}

static void errors_say_what_to_do(void **state)
{
    struct guest *guest = *state;

    open_fails(guest, "", EINVAL, "not a name");
    open_fails(guest, "sixteen-letters-", EINVAL, "not a name");
    open_fails(guest, "tap%d", EINVAL, "not a name");
    open_fails(guest, "../x", EINVAL, "not a name");
    open_fails(guest, "lo", EINVAL, "\"lo\": not a tap interface");
    guest_open(guest, "hospes4");
    open_fails(guest, "hospes4", EBUSY, "\"hospes4\": in use by another machine");
    net_free(guest->net);
}

/* In a child, which gives up all its capabilities for good (capset(2)). */
static void unprivileged_user_is_told_how(void **state)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}};
    pid_t pid = fork();
    int status = -1;

    assert_true(pid >= 0);
    if (!pid) {
        struct guest *guest = *state;
        struct error error = ERROR_INIT;
        struct net *net;

        if (syscall(SYS_capset, &header, none) < 0 ||
            net_tap_new(&net, guest->loop, "hospes6", NULL, &error) != -EPERM ||
            !strstr(error.message, "ip tuntap add dev hospes6 mode tap"))
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_pass_both_ways),
        cmocka_unit_test(nothing_is_lost_while_the_guest_is_deaf),
        cmocka_unit_test(hostile_frames_are_dropped),
        cmocka_unit_test(interface_that_is_down_drops),
        cmocka_unit_test(deleted_interface_is_told_once),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(unprivileged_user_is_told_how),
    };

    /* Before a loop is made: only a process of one thread may. */
    if (!namespace_enter(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK)) {
        print_message("skipped: this host permits no network namespace or no tap interface\n");
        return 77; /* how a test tells meson that it was skipped */
    }
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
