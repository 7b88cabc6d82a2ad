// SPDX-License-Identifier: GPL-2.0
/*
 * Dirty bits of the domain that iommufd has attached a device to.
 *
 * dirty_ops->read_and_clear_dirty() walks page tables. Its caller must hold off
 * whoever unmaps the range, since unmapping frees tables. That is iommufd, on
 * behalf of userspace, at any time; and userspace may attach another domain at
 * any time, too. iommufd has the locks for both, but exports no function that
 * takes them for a driver. So this file takes them itself, as iommufd's own
 * IOMMU_HWPT_GET_DIRTY_BITMAP does: it includes the private header of the kernel
 * that it is built for. Where there is none (a package of headers), dirty bits
 * are not read at all: doing so without the locks would let userspace have
 * freed memory written to.
 *
 * A module may be loaded into another build of the kernel than it was built for,
 * whose private structures may differ. There, too, dirty bits are not read.
 *
 * What iommufd would have to export to make this file superfluous is what
 * domain.h declares.
 */
#include <linux/iommu.h>
#include <linux/iova_bitmap.h>
#include <linux/printk.h>
#include <linux/vfio.h>

#include "domain.h"
#include "iommufd_source.h"

#ifdef VVP_IOMMUFD_SOURCE
#include <generated/utsrelease.h>
#include <generated/utsversion.h>
#include <linux/string.h>
#include <linux/utsname.h>

#include "io_pagetable.h"
#include "iommufd_private.h"

struct vvp_domain {
	struct iommu_domain *domain;
	struct io_pagetable *iopt;
	struct iommu_iotlb_gather gather;
};

bool vvp_domain_readable(void)
{
	const struct new_utsname *running = init_utsname();

	if (!strcmp(running->release, UTS_RELEASE) &&
	    !strcmp(running->version, UTS_VERSION))
		return true;
	pr_info_once("virtio_vfio_pci_rs: built for Linux %s %s: the IOMMU's dirty bits are not read\n",
		     UTS_RELEASE, UTS_VERSION);
	return false;
}

/* Called with the group's lock held, so that no other domain can be attached. */
static struct iommufd_hwpt_paging *vvp_hwpt(struct iommufd_device *idev)
{
	struct iommu_domain *domain;

	lockdep_assert_held(&idev->igroup->lock);
	domain = iommu_get_domain_for_dev(idev->dev);
	/*
	 * While the device is attached to nothing the domain is the core's own.
	 * A nested domain translates a guest's addresses; it has no mappings
	 * that we could know of.
	 */
	if (!domain || domain->cookie_type != IOMMU_COOKIE_IOMMUFD ||
	    !hwpt_is_paging(domain->iommufd_hwpt))
		return NULL;
	return to_hwpt_paging(domain->iommufd_hwpt);
}

int vvp_domain_visit(struct vfio_device *vdev,
		     void (*visit)(struct vvp_domain *domain, void *arg),
		     void *arg)
{
	/* Set before the device is opened, cleared after it is closed. */
	struct iommufd_device *idev = vdev->iommufd_device;
	struct iommufd_hwpt_paging *hwpt;
	struct vvp_domain domain;
	int ret = -ENODEV;

	if (!idev)
		return -ENODEV;
	if (!vvp_domain_readable())
		return -EOPNOTSUPP;

	/* In iommufd's order: group, then I/O address space. */
	mutex_lock(&idev->igroup->lock);
	hwpt = vvp_hwpt(idev);
	if (hwpt) {
		domain.domain = hwpt->common.domain;
		/* A page table holds a reference on its address space. */
		domain.iopt = &hwpt->ioas->iopt;
		iommu_iotlb_gather_init(&domain.gather);

		down_read(&domain.iopt->iova_rwsem);
		visit(&domain, arg);
		if (domain.gather.start <= domain.gather.end)
			iommu_iotlb_sync(domain.domain, &domain.gather);
		up_read(&domain.iopt->iova_rwsem);
		ret = 0;
	}
	mutex_unlock(&idev->igroup->lock);
	return ret;
}

struct iommu_domain *vvp_domain_raw(struct vvp_domain *domain)
{
	return domain->domain;
}

bool vvp_domain_area(struct vvp_domain *domain, unsigned long first,
		     unsigned long last, unsigned long *area_first,
		     unsigned long *area_last)
{
	struct iopt_area *area;

	for (area = iopt_area_iter_first(domain->iopt, first, last); area;
	     area = iopt_area_iter_next(area, first, last)) {
		/*
		 * One without pages is being mapped or unmapped, and whoever does
		 * that does not hold the lock all the time. A dma-buf's exporter
		 * has its pages unmapped without the lock, when it likes.
		 */
		if (!area->pages || iopt_is_dmabuf(area->pages))
			continue;
		*area_first = iopt_area_iova(area);
		*area_last = iopt_area_last_iova(area);
		return true;
	}
	return false;
}

int vvp_domain_track(struct vvp_domain *domain)
{
	const struct iommu_dirty_ops *ops = domain->domain->dirty_ops;

	if (!ops)
		return -EOPNOTSUPP;
	return ops->set_dirty_tracking(domain->domain, true);
}

int vvp_domain_read(struct vvp_domain *domain, unsigned long iova,
		    size_t length, struct iova_bitmap *bitmap)
{
	const struct iommu_dirty_ops *ops = domain->domain->dirty_ops;
	struct iommu_dirty_bitmap dirty = {
		.bitmap = bitmap,
		.gather = &domain->gather,
	};

	if (!ops)
		return -EOPNOTSUPP;
	return ops->read_and_clear_dirty(domain->domain, iova, length, 0,
					 &dirty);
}

int vvp_domain_take_page(struct vvp_domain *domain, unsigned long iova,
			 size_t length, unsigned long *page_first,
			 unsigned long *page_last)
{
	const struct iommu_dirty_ops *ops = domain->domain->dirty_ops;
	struct iommu_iotlb_gather gather;
	struct iommu_dirty_bitmap dirty;
	int ret;

	if (!ops)
		return -EOPNOTSUPP;
	/* What is to be flushed is all of the page, and nothing but the page. */
	iommu_dirty_bitmap_init(&dirty, NULL, &gather);
	ret = ops->read_and_clear_dirty(domain->domain, iova, length, 0,
					&dirty);
	if (ret)
		return ret;
	if (gather.start > gather.end)
		return 0;
	iommu_iotlb_gather_add_range(&domain->gather, gather.start,
				     gather.end - gather.start + 1);
	*page_first = gather.start;
	*page_last = gather.end;
	return 1;
}

#else

bool vvp_domain_readable(void)
{
	pr_info_once("virtio_vfio_pci_rs: built without the kernel's source: the IOMMU's dirty bits are not read\n");
	return false;
}

int vvp_domain_visit(struct vfio_device *vdev,
		     void (*visit)(struct vvp_domain *domain, void *arg),
		     void *arg)
{
	return -EOPNOTSUPP;
}

struct iommu_domain *vvp_domain_raw(struct vvp_domain *domain)
{
	return NULL;
}

bool vvp_domain_area(struct vvp_domain *domain, unsigned long first,
		     unsigned long last, unsigned long *area_first,
		     unsigned long *area_last)
{
	return false;
}

int vvp_domain_track(struct vvp_domain *domain)
{
	return -EOPNOTSUPP;
}

int vvp_domain_read(struct vvp_domain *domain, unsigned long iova,
		    size_t length, struct iova_bitmap *bitmap)
{
	return -EOPNOTSUPP;
}

int vvp_domain_take_page(struct vvp_domain *domain, unsigned long iova,
			 size_t length, unsigned long *page_first,
			 unsigned long *page_last)
{
	return -EOPNOTSUPP;
}

#endif
