/* SPDX-License-Identifier: GPL-2.0 */
/* Input of bindgen for rust/abi.rs. */
#include <linux/hrtimer_types.h>
/* before vfio_pci_core.h, for its 64-bit accessors */
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/anon_inodes.h>
#include <linux/crc32.h>
#include <linux/scatterlist.h>
#include <linux/vfio_pci_core.h>
#include <linux/virtio_pci_admin.h>
#include <uapi/linux/vfio.h>
#include <uapi/linux/virtio_pci.h>
#include "admin_queue.h"
#include "bitmap.h"
#include "domain.h"
#include "helpers.h"
#include "piece.h"
#include "uapi/virtio_vfio_pci_rs.h"
