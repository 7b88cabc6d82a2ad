// SPDX-License-Identifier: GPL-2.0
/* See piece.h. */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "piece.h"

void *vvp_alloc_piece(size_t length, bool zero, bool optional)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;

	if (zero)
		gfp |= __GFP_ZERO;
	/* Nobody is killed for it, and nothing swapped out again and again. */
	if (optional)
		gfp |= __GFP_NORETRY;
	return alloc_pages_exact(length, gfp);
}

void vvp_free_piece(void *start, size_t length)
{
	free_pages_exact(start, length);
}

void *vvp_map_pieces(const struct vvp_piece *pieces, unsigned int count)
{
	unsigned long total = 0, done = 0, page;
	struct page **pages;
	unsigned int i;
	void *map;

	for (i = 0; i < count; i++)
		total += pieces[i].length >> PAGE_SHIFT;
	pages = kvmalloc_array(total, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return NULL;
	for (i = 0; i < count; i++)
		for (page = 0; page < pieces[i].length >> PAGE_SHIFT; page++)
			pages[done++] = virt_to_page(pieces[i].start) + page;
	map = vmap(pages, total, VM_MAP, PAGE_KERNEL_RO);
	kvfree(pages);
	return map;
}

void vvp_pieces_written(void *map, size_t length)
{
	/* Where caches know virtual addresses, they know nothing of the device's writes. */
	invalidate_kernel_vmap_range(map, length);
}

void vvp_unmap_pieces(void *map)
{
	vunmap(map);
}
