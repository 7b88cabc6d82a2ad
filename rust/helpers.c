// SPDX-License-Identifier: GPL-2.0
/* See helpers.h. */
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

bool vvp_cdev_opened(struct vfio_device *vdev)
{
	return vfio_device_cdev_opened(vdev);
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
