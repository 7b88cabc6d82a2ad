// SPDX-License-Identifier: GPL-2.0
/*
 * Pinning of userspace's bitmap before anything is taken from the IOMMU for it.
 *
 * iova_bitmap_set() pins what it writes to, and drops what it was to write if that
 * fails: a dirty bit that was cleared by then is lost. Nothing that iommufd exports
 * tells beforehand. What would is static in iova_bitmap.c, so that file of the
 * kernel that this is built for becomes a part of this one, under the conditions
 * that domain.c has: the whole source at hand, and that very build running.
 * Elsewhere no dirty bits are read, so that none can be lost.
 */
#include <linux/export.h>
#include <linux/iova_bitmap.h>
#include <linux/minmax.h>
#include <linux/overflow.h>

#include "bitmap.h"
#include "domain.h"
#include "iommufd_source.h"

void vvp_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova,
		    size_t length)
{
	iova_bitmap_set(bitmap, iova, length);
}

#ifdef VVP_IOMMUFD_SOURCE
/* What iommufd exports is to be there once only: these copies are not used. */
#undef EXPORT_SYMBOL_NS_GPL
#define EXPORT_SYMBOL_NS_GPL(symbol, namespace)
#define iova_bitmap_alloc vvp_unused_alloc
#define iova_bitmap_free vvp_unused_free
#define iova_bitmap_for_each vvp_unused_for_each
#define iova_bitmap_set vvp_unused_set

static __maybe_unused struct iova_bitmap *
iova_bitmap_alloc(unsigned long iova, size_t length, unsigned long page_size,
		  u64 __user *data);
static __maybe_unused void iova_bitmap_free(struct iova_bitmap *bitmap);
static __maybe_unused int iova_bitmap_for_each(struct iova_bitmap *bitmap,
					       void *opaque,
					       iova_bitmap_fn_t fn);
static __maybe_unused void iova_bitmap_set(struct iova_bitmap *bitmap,
					   unsigned long iova, size_t length);

#include "iova_bitmap.c"

int vvp_bitmap_pin(struct iova_bitmap *bitmap, unsigned long iova,
		   unsigned long *last)
{
	struct iova_bitmap_map *mapped = &bitmap->mapped;
	unsigned long end = bitmap->iova + bitmap->length - 1;
	unsigned long bits, span;
	int ret;

	if (!vvp_domain_readable()) {
		*last = ULONG_MAX;
		return 0;
	}
	ret = iova_bitmap_advance_to(bitmap, iova);
	if (ret)
		return ret;
	/*
	 * The length that iova_bitmap.c computes is 0 if pages are so large that a
	 * byte of the bitmap is for all addresses.
	 */
	bits = iova_bitmap_mapped_remaining(bitmap) * BITS_PER_BYTE;
	if (check_shl_overflow(bits, mapped->pgshift, &span) ||
	    check_add_overflow(mapped->iova, span - 1, last))
		*last = ULONG_MAX;
	*last = min(*last, end);
	mapped->length = *last - mapped->iova + 1;
	return 0;
}

#else

int vvp_bitmap_pin(struct iova_bitmap *bitmap, unsigned long iova,
		   unsigned long *last)
{
	*last = ULONG_MAX;
	return 0;
}

#endif
