/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a disk over an engine of one's own: for tests, which make an engine fail at will.
 */
#ifndef HOSPES_STORAGE_BLOCK_OPEN_H
#define HOSPES_STORAGE_BLOCK_OPEN_H

#include "storage/block.h"
#include "storage/io_engine.h"

/* Like block_open(); takes `engine` over, on failure too. NULL: what block_open() chooses. */
int block_open_with(struct block **block, struct loop *loop, const struct block_options *options,
                    struct io_engine *engine, const struct log *log,
                    struct error *error) MUST_CHECK;

#endif
