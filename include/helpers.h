/* SPDX-License-Identifier: GPL-2.0 */
/* Functions that the kernel defines inline in C, as symbols for Rust. */
#ifndef VVP_HELPERS_H
#define VVP_HELPERS_H

#include <linux/types.h>

struct pci_dev;
struct scatterlist;
struct vfio_device;

struct pci_dev *vvp_pci_physfn(struct pci_dev *pdev);
int vvp_pm_runtime_resume_and_get(struct pci_dev *pdev);
void vvp_pm_runtime_put(struct pci_dev *pdev);

/* Parameter dma_logging, by its number. */
unsigned int vvp_dma_logging(void);

void vvp_cond_resched(void);
bool vvp_fatal_signal_pending(void);
bool vvp_cdev_opened(struct vfio_device *vdev);
void vvp_put_device(struct vfio_device *vdev);
void vvp_sg_set_buf(struct scatterlist *sg, const void *buf, unsigned int len);
void vvp_sg_unmark_end(struct scatterlist *sg);

/* Trace events, see virtio_vfio_pci_rs_trace.h; errors are negative errnos. */
void vvp_trace_arc(const char *device, u32 from, u32 to, int error, u64 ns);
void vvp_trace_record(const char *device, u8 phase, u32 tag, u32 flags, u64 size);
void vvp_trace_admin_command(const char *device, u16 opcode, int error, u64 ns);

#endif
