// SPDX-License-Identifier: GPL-2.0
/* See helpers.h. */
#include <linux/scatterlist.h>
#include <linux/vfio.h>

#include "helpers.h"

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
