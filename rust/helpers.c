// SPDX-License-Identifier: GPL-2.0
/* See helpers.h. */
#include <linux/iova_bitmap.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/vfio.h>

#include "helpers.h"

struct pci_dev *vvp_pci_physfn(struct pci_dev *pdev)
{
	return pci_physfn(pdev);
}

resource_size_t vvp_pci_resource_len(struct pci_dev *pdev, int bar)
{
	return pci_resource_len(pdev, bar);
}

int vvp_pm_runtime_resume_and_get(struct pci_dev *pdev)
{
	return pm_runtime_resume_and_get(&pdev->dev);
}

void vvp_pm_runtime_put(struct pci_dev *pdev)
{
	pm_runtime_put(&pdev->dev);
}

void vvp_cond_resched(void)
{
	cond_resched();
}

bool vvp_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

/* Inline where iommufd has no drivers, and does nothing there. */
void vvp_iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova, size_t length)
{
	iova_bitmap_set(bitmap, iova, length);
}

void vvp_put_device(struct vfio_device *vdev)
{
	vfio_put_device(vdev);
}

void vvp_sg_set_buf(struct scatterlist *sg, const void *buf, unsigned int len)
{
	sg_set_buf(sg, buf, len);
}

void vvp_sg_unmark_end(struct scatterlist *sg)
{
	sg_unmark_end(sg);
}
