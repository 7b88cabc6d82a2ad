/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pieces of physically contiguous memory, and all of them in one range of virtual
 * addresses. Defined in rust/virtio/piece.c.
 */
#ifndef VVP_PIECE_H
#define VVP_PIECE_H

#include <linux/types.h>

/*
 * @length bytes, a multiple of the page size, charged to the caller's memory cgroup; zero,
 * or whatever the memory had before. NULL without memory, about which nothing is logged;
 * soon, and without calling the OOM killer, if the memory is @optional.
 */
void *vvp_alloc_piece(size_t length, bool zero, bool optional);
void vvp_free_piece(void *start, size_t length);

struct vvp_piece {
	void *start;
	size_t length;
};

/*
 * Maps @count pieces, one behind the other, to be read. They must remain until the
 * mapping is given to vvp_unmap_pieces(). NULL without memory.
 */
void *vvp_map_pieces(const struct vvp_piece *pieces, unsigned int count);
/* What was written to the pieces of the first @length bytes is seen in their mapping. */
void vvp_pieces_written(void *map, size_t length);
void vvp_unmap_pieces(void *map);

#endif
