// SPDX-License-Identifier: GPL-2.0
/*
 * See admin_queue.h. virtio_pci keeps its admin virtqueue to itself, but it is in the list
 * of all virtqueues of the PF's virtio device, and has a name of its own there.
 */
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/virtio.h>

#include "admin_queue.h"

/* vp_find_vqs_msix() and vp_find_vqs_intx() make it of this and the queue's index. */
#define ADMIN_QUEUE_NAME "avq."

/* The bus type itself is not exported. */
static int is_virtio(struct device *dev, const void *unused)
{
	return dev->bus && !strcmp(dev->bus->name, "virtio");
}

unsigned int vvp_admin_queue_size(struct pci_dev *vf)
{
	struct device *dev = device_find_child(&pci_physfn(vf)->dev, NULL, is_virtio);
	struct virtio_device *vdev;
	struct virtqueue *vq;
	unsigned int size = 0;

	if (!dev)
		return 0;
	vdev = dev_to_virtio(dev);
	spin_lock(&vdev->vqs_list_lock);
	list_for_each_entry(vq, &vdev->vqs, list) {
		if (vq->name && strstarts(vq->name, ADMIN_QUEUE_NAME)) {
			size = virtqueue_get_vring_size(vq);
			break;
		}
	}
	spin_unlock(&vdev->vqs_list_lock);
	put_device(dev);
	return size;
}
