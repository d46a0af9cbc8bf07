/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical address space: which address is RAM, ROM or a device's registers.
 *
 * The board fills it before the first instruction; from then on the map stays as it is while CPUs
 * and devices use it from any thread without a lock. RAM is a shared memory object (memfd) mapped
 * once, with inaccessible guard pages around it. Guest memory is hostile: it may change between
 * any two reads, so whoever parses it copies first (memory_read) or reads each field once.
 *
 * Invariants
 *  M1  Ranges never overlap; the array is sorted by base; a lookup is a binary search.
 *  M2  A RAM page whose flag PAGE_CODE is set is written only through a path that then calls
 *      memory_note_write(); who caches host pointers for writing must not cache such a page.
 *  M3  memory_note_write() comes after the bytes are stored.
 *  M4  A page's code generation changes whenever bytes of a PAGE_CODE page may have changed.
 *  M5  A block that is not plugged is as if no RAM were there, and the host holds no memory for it:
 *      whoever makes a host pointer of a guest's address asks ram_has(). CPUs and the loop's thread
 *      use it at once, or forget it when memory_unplug() says so; everybody else holds it
 *      (ram_hold(), memory_pin()), and what is held is not unplugged.
 */
#ifndef HOSPES_MEMORY_MEMORY_H
#define HOSPES_MEMORY_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/thread.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1u << PAGE_SHIFT)

/* A guest-physical address, in bytes. */
typedef uint64_t gpa;

enum page_flag {
    PAGE_CODE = 1,  /* some engine holds decoded or translated code of this page */
    PAGE_DIRTY = 2, /* written since the flag was last cleared */
};

enum { RAM_CODE_WRITES = 64 };

/* Pluggable RAM comes and goes in blocks of so many bytes. */
#define RAM_BLOCK_SHIFT 21
#define RAM_BLOCK_SIZE  (UINT64_C(1) << RAM_BLOCK_SHIFT)

enum ram_block_state { BLOCK_UNPLUGGED, BLOCK_LEAVING, BLOCK_PLUGGED };

struct ram_block {
    _Atomic uint32_t holders;
    _Atomic uint32_t state; /* enum ram_block_state */
};

/* A block of guest RAM or ROM. */
struct ram {
    uint8_t *host; /* first byte; size is a multiple of the page size */
    uint64_t size;
    uint64_t fixed; /* so many bytes from the start are always there; all, if it is not pluggable */
    gpa base;
    bool writable; /* false: ROM to the guest */
    int fd; /* the memfd, so that another process can be handed it; -1: private, to be merged */
    _Atomic uint8_t *flags;     /* one enum page_flag set a page */
    _Atomic uint32_t *code_gen; /* one generation a page, see M4 */
    struct ram_block *blocks;   /* those behind `fixed`; NULL: none */
    struct mutex lock;          /* PAGE_CODE and code_gen change under it; both are read without */
    /* How many generations have moved, and which pages' the last RAM_CODE_WRITES of them were: the
     * n-th is at n % RAM_CODE_WRITES. Written under the lock. */
    _Atomic uint64_t code_writes;
    _Atomic uint64_t code_written[RAM_CODE_WRITES];
};

/* Register accesses of a device. Called on a vCPU's thread (or the thread of whoever does DMA to
 * it), with no lock held; the device takes its own. `offset` is from the start of the range and
 * aligned to `width`, which is 1, 2, 4 or 8 bytes and one that the device takes. */
struct io_ops {
    unsigned widths; /* sum of the access widths in bytes that the device takes: 1|2|4|8 */
    uint64_t (*read)(void *ctx, uint64_t offset, unsigned width);
    void (*write)(void *ctx, uint64_t offset, unsigned width, uint64_t value);
};

struct range {
    gpa base;
    uint64_t size;
    struct ram *ram;          /* RAM and ROM; NULL for a device */
    const struct io_ops *ops; /* a device */
    void *ctx;
    const char *name;
};

/* Whoever caches what the map says (an engine's TLB) is told when a page of RAM must no longer be
 * written through a cached pointer. Called on any thread, also on the one that caused it, before
 * memory_mark_code() returns; must not block and must not call back into the map. */
struct memory_listener {
    void (*write_protect)(void *ctx, struct ram *ram, uint64_t page);
    void *ctx;
    struct memory_listener *next;
};

struct address_space;

int address_space_new(struct address_space **as) MUST_CHECK;
void address_space_free(struct address_space *as);
/* RAM that is added from now on is private memory, which the host's kernel may merge with pages of
 * the same content of other processes (madvise(2), MADV_MERGEABLE; KSM takes no shared memory).
 * Such RAM has no descriptor: it can be mapped nowhere else. */
void memory_make_mergeable(struct address_space *as);

/* Adds zeroed RAM, shared memory reserved but not touched. base and size are multiples of the page
 * size. Errors: no memory, overlap, wrap-around. */
int memory_add_ram(struct address_space *as, const char *name, gpa base, uint64_t size,
                   bool writable, struct error *error) MUST_CHECK;
/* Adds RAM of which `fixed` bytes are there from the start and the rest once it is plugged; all in
 * multiples of RAM_BLOCK_SIZE. What is not plugged costs the host nothing. */
int memory_add_pluggable_ram(struct address_space *as, const char *name, gpa base, uint64_t fixed,
                             uint64_t size, struct error *error) MUST_CHECK;
/* Adds a device's registers; ops and ctx must outlive the address space. */
int memory_add_io(struct address_space *as, const char *name, gpa base, uint64_t size,
                  const struct io_ops *ops, void *ctx, struct error *error) MUST_CHECK;
/* While no CPU runs, or on a CPU's own thread. */
void memory_listen(struct address_space *as, struct memory_listener *listener);
/* When this returns, the listener is not called any more. */
void memory_unlisten(struct address_space *as, struct memory_listener *listener);

/* The range that holds `addr`, or NULL. Any thread; valid as long as the address space. Of RAM that
 * is pluggable ram_has() tells whether there is any at the address. */
const struct range *memory_find(const struct address_space *as, gpa addr) HOT;
/* The largest RAM block: what the firmware and the device tree call the memory. */
struct ram *memory_main_ram(const struct address_space *as);
/* Whether there is RAM or ROM at `addr`. */
bool memory_is_ram(const struct address_space *as, gpa addr);

/* Whether the byte at `offset`, which is less than ram->size, is there (M5). */
static inline bool ram_has(const struct ram *ram, uint64_t offset)
{
    return likely(offset < ram->fixed) ||
           atomic_load(&ram->blocks[(offset - ram->fixed) >> RAM_BLOCK_SHIFT].state) ==
               BLOCK_PLUGGED;
}

/* The same of [offset, offset + len), which is in `ram`. */
bool ram_has_all(const struct ram *ram, uint64_t offset, uint64_t len);

/* Keeps [offset, offset + len), which is in `ram`, from being unplugged; false: it is not all
 * there. Each is let go of once. Any thread. */
bool ram_hold(struct ram *ram, uint64_t offset, uint64_t len) MUST_CHECK;
void ram_let_go(struct ram *ram, uint64_t offset, uint64_t len);

/* Checked copies between guest memory (RAM or ROM only, never a device; may cross from one RAM
 * range into the next) and the host's. -EFAULT when any byte is not there (memory_write: or not
 * writable); then nothing was copied. Any thread where no RAM is pluggable, else a CPU's or the
 * loop's (M5). */
int memory_read(const struct address_space *as, gpa addr, void *to, uint64_t len) MUST_CHECK;
int memory_write(const struct address_space *as, gpa addr, const void *from,
                 uint64_t len) MUST_CHECK;
/* Like memory_write(), but also into ROM: for loading firmware before the machine runs. */
int memory_load(const struct address_space *as, gpa addr, const void *from,
                uint64_t len) MUST_CHECK;

/* Gives all RAM back to the host: it reads as zeroes. No CPU runs and no device has a span. */
void memory_clear(struct address_space *as);

/*
 * Plugs and unplugs blocks: [addr, addr + len) is a number of them, one at least, of pluggable RAM.
 * -EINVAL: it is not. Loop's thread.
 *
 * memory_plug(): none of them is plugged, else -EEXIST; they read as zeroes.
 *
 * memory_unplug(): all of them are, else -ENOENT, and nobody holds any (a moment is
 * waited for it), else -EBUSY; then nothing was done. No CPU is in the guest or in its firmware;
 * before one is again, it forgets what it knew of memory (engine_type.forget()). Then
 * memory_reclaim() gives the host back what they took, in pieces as small as the caller likes (it
 * costs what memory_discard() does). They must not be plugged again before.
 */
int memory_plug(const struct address_space *as, gpa addr, uint64_t len) MUST_CHECK;
int memory_unplug(const struct address_space *as, gpa addr, uint64_t len) MUST_CHECK;
/* The same of those of the blocks that are plugged, if any. */
int memory_unplug_any(const struct address_space *as, gpa addr, uint64_t len) MUST_CHECK;
int memory_reclaim(const struct address_space *as, gpa addr, uint64_t len) MUST_CHECK;
/* Unplugs whatever is plugged, when nobody holds anything and no CPU runs: before memory_clear().
 */
void ram_unplug_all(struct ram *ram);
/* How many bytes of [addr, addr + len) are plugged. */
uint64_t memory_plugged(const struct address_space *as, gpa addr, uint64_t len);

/*
 * Gives the whole pages within [addr, addr + len) back to the host: they read as zeroes from here
 * on, which counts as a write (M2 to M4). Parts of pages at either end stay as they are. Host
 * pointers to the pages stay valid, pinned ones too: whoever touches a page gets a new one, so that
 * of a request under way with it nothing but its bytes is lost. -EFAULT when any byte is not in
 * writable RAM, and then nothing was done; or what the host's kernel says. Any thread.
 *
 * A call costs 3 us and 0.6 us for each page that the host holds, or 1.2 us and next to nothing
 * more where it holds none (measured on a virtual host): join neighbours, and bound what one turn
 * of the loop gives back.
 */
int memory_discard(const struct address_space *as, gpa addr, uint64_t len) MUST_CHECK;
/* Bytes of all RAM that the host holds memory for. */
uint64_t memory_resident(const struct address_space *as);

/* A piece of guest RAM for zero-copy I/O: readv() and writev() may use it as it is. */
struct span {
    uint8_t *host;
    uint64_t len;
    struct ram *ram;
    bool write;
};

/* Pins [addr, addr + len), which must lie in one RAM block (writable if `write`), len > 0; else
 * -EFAULT. memory_unpin() notes what was written. Any thread. */
int memory_pin(const struct address_space *as, gpa addr, uint64_t len, bool write,
               struct span *span) MUST_CHECK;
void memory_unpin(const struct address_space *as, struct span *span);
/* Where the guest has it. */
gpa memory_span_address(const struct span *span);

/* A guest's access to a device, on behalf of a CPU: `width` 1, 2, 4 or 8, `addr` aligned to it or
 * not. The map makes it fit: an access wider than the device takes becomes several. -EFAULT when
 * the range does not take it (a bus error to the guest). */
int memory_io_read(const struct range *range, gpa addr, unsigned width, uint64_t *value) MUST_CHECK;
int memory_io_write(const struct range *range, gpa addr, unsigned width, uint64_t value) MUST_CHECK;

/* Sets PAGE_CODE and, where it was not set, tells every listener; the caller reads the code after
 * this returns. Returns the page's generation, read before anything of the page. */
uint32_t memory_mark_code(struct address_space *as, struct ram *ram, uint64_t page);
/* [offset, offset + len) of `ram` was written (M3): sets PAGE_DIRTY, and where PAGE_CODE is set
 * clears it and moves the generation on. Any thread. */
void memory_note_write(struct ram *ram, uint64_t offset, uint64_t len);

/* Copies that ThreadSanitizer does not follow; see GUEST_ACCESS. */
void guest_copy_in(void *to, const void *guest, uint64_t len);
void guest_copy_out(void *guest, const void *from, uint64_t len);

#endif
