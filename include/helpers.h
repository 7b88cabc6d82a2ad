/* SPDX-License-Identifier: GPL-2.0 */
/* Functions that the kernel defines inline in C, as symbols for Rust. */
#ifndef VVP_HELPERS_H
#define VVP_HELPERS_H

#include <linux/types.h>

struct scatterlist;
struct vfio_device;

void vvp_put_device(struct vfio_device *vdev);
void vvp_sg_set_buf(struct scatterlist *sg, const void *buf, unsigned int len);
void vvp_sg_unmark_end(struct scatterlist *sg);

#endif
