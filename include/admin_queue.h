/* SPDX-License-Identifier: GPL-2.0 */
/* The admin virtqueue of a PF. Defined in rust/virtio/admin_queue.c. */
#ifndef VVP_ADMIN_QUEUE_H
#define VVP_ADMIN_QUEUE_H

struct pci_dev;

/*
 * Number of descriptors of the admin virtqueue of the PF of @vf, to which virtio_pci is
 * bound and stays so during the call. Zero if the PF has none, or no driver has set it up.
 */
unsigned int vvp_admin_queue_size(struct pci_dev *vf);

#endif
