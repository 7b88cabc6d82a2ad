/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page table ("domain") that iommufd has attached a device to, and its
 * dirty bits. Defined in rust/vfio/domain.c.
 */
#ifndef VVP_DOMAIN_H
#define VVP_DOMAIN_H

#include <linux/types.h>

struct iommu_domain;
struct iova_bitmap;
struct vfio_device;
struct vvp_domain;

/*
 * Was this built where dirty bits can be read, and for the kernel that runs?
 * Without, visits fail.
 */
bool vvp_domain_readable(void);

/*
 * Calls @visit with the domain of @vdev, which stays attached, and its mappings
 * mapped, until @visit returns; but for those of dma-bufs, which
 * vvp_domain_area() leaves out. What @visit has cleared is then flushed from the
 * IOTLB.
 *
 * @vdev must be open, by an iommufd or not. Returns 0 if @visit was called,
 * -ENODEV if the device is attached to no page table of an I/O address space,
 * -EOPNOTSUPP if that cannot be known. May sleep.
 */
int vvp_domain_visit(struct vfio_device *vdev,
		     void (*visit)(struct vvp_domain *domain, void *arg),
		     void *arg);

/* The functions below are for visitors. */

struct iommu_domain *vvp_domain_raw(struct vvp_domain *domain);

/*
 * Finds the lowest mapping that has addresses in @first..@last; false if there
 * is none.
 */
bool vvp_domain_area(struct vvp_domain *domain, unsigned long first,
		     unsigned long last, unsigned long *area_first,
		     unsigned long *area_last);

/* Has the IOMMU set dirty bits. -EOPNOTSUPP if the domain has none. */
int vvp_domain_track(struct vvp_domain *domain);

/*
 * Moves dirty bits of @iova..@iova+@length-1, which must be inside of one
 * mapping, to @bitmap.
 */
int vvp_domain_read(struct vvp_domain *domain, unsigned long iova,
		    size_t length, struct iova_bitmap *bitmap);

/*
 * Takes the dirty bit of the one page, of whatever size, that has
 * @iova..@iova+@length-1 in it, a part of one mapping and no longer than the
 * smallest page. Returns 1 and the addresses of the page if it was dirty, 0 if not.
 */
int vvp_domain_take_page(struct vvp_domain *domain, unsigned long iova,
			 size_t length, unsigned long *page_first,
			 unsigned long *page_last);

#endif
