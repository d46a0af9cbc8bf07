/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "base/host.h"
#include "base/size.h"
#include "cli/doctor.h"
#include "host/group.h"
#include "host/jail.h"

#define MEMORY_LITTLE    (2ull << 30)
#define MAP_COUNT_ENOUGH 262144
#define FILE_TEXT_MAX    1024

static void PRINTF(2, 3) finding_text(struct doctor_finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(finding->text, sizeof(finding->text), format, args);
    va_end(args);
}

static void PRINTF(3, 4) finding_lack(struct doctor_finding *finding, enum doctor_verdict verdict,
                                      const char *format, ...)
{
    va_list args;

    finding->verdict = verdict;
    va_start(args, format);
    vsnprintf(finding->remedy, sizeof(finding->remedy), format, args);
    va_end(args);
}

/* The first line of a small file of /proc or /sys. */
static bool file_line(const char *path, char text[static FILE_TEXT_MAX])
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(text, FILE_TEXT_MAX, file);

    if (file)
        fclose(file);
    if (read)
        text[strcspn(text, "\n")] = 0;
    return read;
}

static bool file_number(const char *path, unsigned long *number)
{
    char text[FILE_TEXT_MAX];

    if (!file_line(path, text))
        return false;
    *number = strtoul(text, NULL, 10);
    return true;
}

static void look_host(struct doctor_finding *finding)
{
    struct utsname name;
    unsigned major = 0, minor = 0;

    if (uname(&name) != 0)
        return;
    sscanf(name.release, "%u.%u", &major, &minor);
    finding_text(finding, "Linux %s on %s", name.release, name.machine);
    if (major < 5 || (major == 5 && minor < 15))
        finding_lack(finding, DOCTOR_NEEDED, "use a host with Linux 5.15 or later");
}

static void look_cores(struct doctor_finding *finding)
{
    unsigned present = host_cpus_present(), usable = host_cpus();

    if (usable < present)
        finding_text(finding, "%u of %u may be used", usable, present);
    else
        finding_text(finding, "%u", present);
    if (usable < 2)
        finding_lack(finding, DOCTOR_ABSENT,
                     "give this host a second core: the guest's CPUs and devices share one");
}

static void look_memory(struct doctor_finding *finding)
{
    char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX];
    struct host_memory memory;

    host_memory(&memory);
    size_format(memory.allowed_available, a);
    size_format(memory.allowed, b);
    if (memory.allowed < memory.total)
        finding_text(finding, "%s available of %s (%s, and a control group allows less)", a, b,
                     size_format(memory.total, c));
    else
        finding_text(finding, "%s available of %s", a, b);
    if (memory.allowed_available < MEMORY_LITTLE)
        finding_lack(finding, DOCTOR_ABSENT,
                     "end other programs, or give guests less than the default: --memory 512M");
}

static void look_kvm(struct doctor_finding *finding)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int version;

    if (fd < 0 && (errno == EACCES || errno == EPERM)) {
        finding_text(finding, "there, but this user may not open /dev/kvm");
        finding_lack(finding, DOCTOR_ABSENT, "usermod -aG kvm \"$USER\", then log in again");
        return;
    }
    if (fd < 0) {
        finding_text(finding, "not there (riscv64 machines do not need it)");
        finding_lack(finding, DOCTOR_ABSENT,
                     "turn virtualisation on in the host's firmware (nested, where the host is "
                     "itself a guest), then: modprobe kvm_intel || modprobe kvm_amd");
        return;
    }
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    close(fd);
    finding_text(finding, "usable, API version %d", version);
    if (version != KVM_API_VERSION)
        finding_lack(finding, DOCTOR_ABSENT, "use a host kernel with KVM API version %d",
                     KVM_API_VERSION);
}

static void look_huge_pages(struct doctor_finding *finding)
{
    char transparent[FILE_TEXT_MAX] = "";
    unsigned long reserved = 0;
    char *mode, *end;

    file_number("/proc/sys/vm/nr_hugepages", &reserved);
    if (!file_line("/sys/kernel/mm/transparent_hugepage/enabled", transparent)) {
        finding_text(finding, "not in this kernel");
        finding_lack(finding, DOCTOR_ABSENT, "use a host kernel with CONFIG_TRANSPARENT_HUGEPAGE");
        return;
    }
    mode = strchr(transparent, '[');
    mode = mode ? mode + 1 : transparent;
    end = strchr(mode, ']');
    if (end)
        *end = 0;
    finding_text(finding, "transparent: %s; reserved: %lu", mode, reserved);
    if (strcmp(mode, "never") == 0)
        finding_lack(finding, DOCTOR_ABSENT,
                     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

/* By what named machines share CPU time: group.h. */
static void look_cgroups(struct doctor_finding *finding)
{
    struct cgroup place;
    int r = group_find_place("", &place);

    if (!r) {
        finding_text(finding, "control groups (version %u) below %.160s", place.version,
                     place.directory);
        return;
    }
    if (r == -EBUSY) {
        finding_text(finding, "nice values, and this service's own group");
        finding_lack(finding, DOCTOR_ABSENT,
                     "a service's share is its unit's: systemctl set-property UNIT CPUWeight=N");
        return;
    }
    finding_text(finding, "nice values: %s",
                 r == -ENOENT ? "no control groups with CPU time are mounted"
                              : "this user may make no control group with CPU time");
    finding_lack(finding, DOCTOR_ABSENT,
                 r == -ENOENT
                     ? "boot the host with systemd.unified_cgroup_hierarchy=1, or: mount -t "
                       "cgroup2 none /sys/fs/cgroup"
                     : "start machines from a session of systemd's user manager (systemd-run "
                       "--user --scope hospes start NAME), which has groups of its own");
}

static void look_binfmt(struct doctor_finding *finding)
{
    char status[FILE_TEXT_MAX];

    if (!file_line("/proc/sys/fs/binfmt_misc/status", status)) {
        finding_text(finding, "not mounted");
        finding_lack(finding, DOCTOR_ABSENT,
                     "modprobe binfmt_misc; mount -t binfmt_misc none /proc/sys/fs/binfmt_misc");
        return;
    }
    finding_text(finding, "%.32s", status);
    if (strcmp(status, "enabled") != 0)
        finding_lack(finding, DOCTOR_ABSENT, "echo 1 > /proc/sys/fs/binfmt_misc/status");
}

/* Whether a child may make its own user namespace and say who is in it: the only answer that takes
 * in every setting. What needs them is the root directory of a machine's own (host/jail.h). */
static void look_user_namespaces(struct doctor_finding *finding)
{
    if (jail_host_users()) {
        finding_text(finding, "allowed%s",
                     jail_host_mounts() ? ""
                                        : ", but not used with capabilities that are not root's: "
                                          "machines are confined less");
        return;
    }
    finding_text(finding, "%s",
                 jail_host_mounts() ? "not allowed; root needs none"
                                    : "not allowed: machines are confined less");
    if (access("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", F_OK) == 0)
        finding_lack(finding, DOCTOR_ABSENT,
                     "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
    else if (access("/proc/sys/kernel/unprivileged_userns_clone", F_OK) == 0)
        finding_lack(finding, DOCTOR_ABSENT, "sysctl -w kernel.unprivileged_userns_clone=1");
    else
        finding_lack(finding, DOCTOR_ABSENT, "sysctl -w user.max_user_namespaces=15000");
}

static void look_tun(struct doctor_finding *finding)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
        finding_text(finding, "usable");
        return;
    }
    finding_text(finding, "/dev/net/tun: %s", error_words(errno));
    finding_lack(finding, DOCTOR_ABSENT,
                 errno == EACCES || errno == EPERM
                     ? "chmod 666 /dev/net/tun (as udev does); only --net tap=NAME needs it"
                     : "modprobe tun; only --net tap=NAME needs it");
}

static void look_io_uring(struct doctor_finding *finding)
{
    unsigned long disabled = 0;

    /* With no parameters a kernel that offers it answers EFAULT. */
    if (syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT) {
        finding_text(finding, "usable");
        return;
    }
    finding_text(finding, "%s; disks use threads instead", error_words(errno));
    if (file_number("/proc/sys/kernel/io_uring_disabled", &disabled) && disabled)
        finding_lack(finding, DOCTOR_ABSENT, "sysctl -w kernel.io_uring_disabled=0");
    else
        finding_lack(finding, DOCTOR_ABSENT,
                     "allow io_uring_setup in the seccomp profile of this container, or use a "
                     "kernel with CONFIG_IO_URING");
}

static void look_seccomp(struct doctor_finding *finding)
{
    if (jail_host_filters()) {
        finding_text(finding, "usable");
        return;
    }
    finding_text(finding, "not in this kernel, or forbidden here");
    finding_lack(finding, DOCTOR_ABSENT,
                 "use a host kernel with CONFIG_SECCOMP_FILTER; in a container, allow seccomp()");
}

static void look_landlock(struct doctor_finding *finding)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (version > 0) {
        finding_text(finding, "usable, ABI version %ld", version);
        return;
    }
    finding_text(finding, "%s", errno == EOPNOTSUPP ? "switched off" : "not in this kernel");
    finding_lack(finding, DOCTOR_ABSENT,
                 errno == EOPNOTSUPP
                     ? "add landlock to the lsm= parameter of the host's kernel"
                     : "use a host kernel with CONFIG_SECURITY_LANDLOCK (5.13 or later)");
}

static void look_ksm(struct doctor_finding *finding)
{
    unsigned long run;

    if (!file_number("/sys/kernel/mm/ksm/run", &run)) {
        finding_text(finding, "not in this kernel");
        finding_lack(finding, DOCTOR_ABSENT, "use a host kernel with CONFIG_KSM");
        return;
    }
    finding_text(finding, "%s", run == 1 ? "runs" : "does not run");
    if (run != 1)
        finding_lack(finding, DOCTOR_ABSENT, "echo 1 > /sys/kernel/mm/ksm/run");
}

static void look_map_count(struct doctor_finding *finding)
{
    unsigned long count = 0;

    file_number("/proc/sys/vm/max_map_count", &count);
    finding_text(finding, "%lu mappings a process", count);
    if (count < MAP_COUNT_ENOUGH)
        finding_lack(finding, DOCTOR_ABSENT, "sysctl -w vm.max_map_count=%d", MAP_COUNT_ENOUGH);
}

/* Whether the shell would find the program. */
static bool program_exists(const char *name)
{
    /* Package tools live in sbin, which is not on every user's path. */
    static const char always[] = "/usr/local/sbin:/usr/sbin:/sbin";
    const char *const lists[] = {getenv("PATH"), always};
    char path[FILE_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const char *at = lists[i];

        while (at && *at) {
            size_t length = strcspn(at, ":");

            snprintf(path, sizeof(path), "%.*s/%s", (int)length, at, name);
            if (access(path, X_OK) == 0)
                return true;
            at += length;
            at += *at == ':';
        }
    }
    return false;
}

static void look_image_tools(struct doctor_finding *finding)
{
    static const struct {
        const char *path; /* a program, or a file when it begins with a slash */
        const char *package;
    } tools[] = {
        {"apt-get", "apt"},
        {"mke2fs", "e2fsprogs"},
        {"fakeroot", "fakeroot"},
        {"depmod", "kmod"},
        {"tar", "tar"},
        {"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"},
    };
    char missing[128] = "";

    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        if (tools[i].path[0] == '/' ? access(tools[i].path, R_OK) == 0
                                    : program_exists(tools[i].path))
            continue;
        snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), " %s",
                 tools[i].package);
    }
    if (!*missing) {
        finding_text(finding, "all there");
        return;
    }
    finding_text(finding, "missing:%s", missing);
    finding_lack(finding, DOCTOR_NEEDED, "apt install%s", missing);
}

static void look_boot_loader(struct doctor_finding *finding)
{
    if (access("/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin", R_OK) == 0) {
        finding_text(finding, "U-Boot is there");
        return;
    }
    finding_text(finding, "no U-Boot: disk image files cannot be booted");
    finding_lack(finding, DOCTOR_ABSENT, "apt install u-boot-qemu");
}

static void look_disk_space(struct doctor_finding *finding)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    const char *path = data && *data == '/' && access(data, F_OK) == 0 ? data : home;
    char room[SIZE_TEXT_MAX];
    struct statvfs fs;

    if (!path || statvfs(path, &fs) != 0) {
        finding_text(finding, "no home directory");
        finding_lack(finding, DOCTOR_NEEDED, "set HOME or XDG_DATA_HOME");
        return;
    }
    finding_text(finding, "%s free in %.128s",
                 size_format((uint64_t)fs.f_bavail * fs.f_frsize, room), path);
    if ((uint64_t)fs.f_bavail * fs.f_frsize < 4ull << 30)
        finding_lack(finding, DOCTOR_ABSENT,
                     "free some space, or set XDG_DATA_HOME to a larger disk: the debian image "
                     "takes about 2 GiB while it is made");
}

const struct doctor_check *doctor_checks(void)
{
    static const struct doctor_check checks[] = {
        {"host", look_host},
        {"cores", look_cores},
        {"memory", look_memory},
        {"disk space", look_disk_space},
        {"KVM", look_kvm},
        {"huge pages", look_huge_pages},
        {"cgroups", look_cgroups},
        {"binfmt_misc", look_binfmt},
        {"user namespaces", look_user_namespaces},
        {"tun", look_tun},
        {"io_uring", look_io_uring},
        {"seccomp", look_seccomp},
        {"landlock", look_landlock},
        {"KSM", look_ksm},
        {"max_map_count", look_map_count},
        {"image tools", look_image_tools},
        {"boot loader", look_boot_loader},
        {0},
    };

    return checks;
}
