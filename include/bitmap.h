/* SPDX-License-Identifier: GPL-2.0 */
/* The bitmap of userspace's that VFIO hands over. Defined in rust/vfio/bitmap.c. */
#ifndef VVP_BITMAP_H
#define VVP_BITMAP_H

#include <linux/types.h>

struct iova_bitmap;

/*
 * Pins the part of @bitmap that has the bit of @iova at its beginning, which must
 * be inside of what the bitmap is for, and lets go of what was pinned before.
 * *@last is the last address whose bit is pinned, for writing: as long as no
 * other part is, iova_bitmap_set() cannot fail up to there. -EFAULT if there is no
 * memory that can be written.
 *
 * Where the kernel's bitmaps cannot be looked into (see bitmap.c) nothing is pinned,
 * and *@last is the last address of all.
 */
int vvp_bitmap_pin(struct iova_bitmap *bitmap, unsigned long iova,
		   unsigned long *last);

/* iova_bitmap_set() */
void vvp_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova,
		    size_t length);

#endif
