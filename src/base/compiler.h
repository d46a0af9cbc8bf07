/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes by short names, and the few expressions every file wants.
 *
 * The thread-safety names are clang's (Thread Safety Analysis); gcc sees nothing.
 * They are written at the field a lock guards, so that the compiler checks it.
 */
#ifndef HOSPES_BASE_COMPILER_H
#define HOSPES_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(a, b) __attribute__((format(printf, a, b)))
#define NORETURN     __attribute__((noreturn))
#define UNUSED       __attribute__((unused))
#define HOT          __attribute__((hot))
#define COLD         __attribute__((cold, noinline))
#define FALLTHROUGH  __attribute__((fallthrough))
#define CLEANUP(fn)  __attribute__((cleanup(fn)))
#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* For the few functions that touch guest memory: a guest may race with itself and with its devices,
 * which is its own business and not a finding of ThreadSanitizer about hospes. */
#define GUEST_ACCESS __attribute__((no_sanitize("thread")))

#ifdef __clang__
#define THREAD_ATTR(x) __attribute__((x))
#else
#define THREAD_ATTR(x)
#endif
#define CAPABILITY(name) THREAD_ATTR(capability(name))
/* Written at the field for the reader; clang before 20 cannot name a sibling field in C, so only
 * the attributes on functions are checked. */
#define GUARDED_BY(m)
#define REQUIRES(m)      THREAD_ATTR(requires_capability(m))
#define ACQUIRES(m)      THREAD_ATTR(acquire_capability(m))
#define RELEASES(m)      THREAD_ATTR(release_capability(m))
#define EXCLUDES(m)      THREAD_ATTR(locks_excluded(m))
#define NO_THREAD_SAFETY THREAD_ATTR(no_thread_safety_analysis)

#endif
