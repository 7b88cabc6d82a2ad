/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Migration stream of virtio_vfio_pci_rs: what the save file descriptor gives
 * and the resume file descriptor takes. Documentation/stream.rst explains it.
 *
 * The stream is a sequence of records, each a header and its content.
 */
#ifndef _UAPI_VIRTIO_VFIO_PCI_RS_H
#define _UAPI_VIRTIO_VFIO_PCI_RS_H

#include <linux/types.h>

/**
 * struct vvp_record_header - begins a record
 * @size: bytes of content behind the header
 * @flags: zero or VVP_RECORD_OPTIONAL
 * @tag: what the content is
 */
struct vvp_record_header {
	__le64 size;
	__le32 flags;
	__le32 tag;
};

/* A loader that does not know the tag skips the record. */
#define VVP_RECORD_OPTIONAL	(1 << 0)

/* Device parts, struct virtio_dev_part_hdr and value each. Not optional. */
#define VVP_TAG_DEVICE_DATA	0

/* struct vvp_identity. Optional. */
#define VVP_TAG_IDENTITY	0x31505656	/* "VVP1" */

/* struct vvp_end. Optional. */
#define VVP_TAG_END		0x32505656	/* "VVP2" */

#define VVP_IDENTITY_MAGIC	0x53505656	/* "VVPS" */
#define VVP_IDENTITY_VERSION	1

/* No checksum was made of the stream: vvp_end.crc32c is zero. */
#define VVP_IDENTITY_NO_CHECKSUM	(1 << 0)

/* Most feature words that an identity has. */
#define VVP_IDENTITY_MAX_WORDS	16

/**
 * struct vvp_identity - what the device data record that follows is from
 * @magic: VVP_IDENTITY_MAGIC
 * @version: VVP_IDENTITY_VERSION
 * @device_type: virtio device type, for example 1 for a network device
 * @parts: number of device parts in the device data record that follows
 * @feature_words: number of elements of @features
 * @flags: zero or VVP_IDENTITY_NO_CHECKSUM, in all identities of a stream alike
 * @features: negotiated features, without trailing words of zero
 */
struct vvp_identity {
	__le32 magic;
	__le16 version;
	__le16 device_type;
	__le32 parts;
	__le16 feature_words;
	__le16 flags;
	__le64 features[];
};

/**
 * struct vvp_end - the end of a stream
 * @records: number of records before this one
 * @crc32c: CRC-32C (Castagnoli) of all bytes of the stream before the header
 *	of this record; zero under VVP_IDENTITY_NO_CHECKSUM
 * @reserved: zero
 */
struct vvp_end {
	__le64 records;
	__le32 crc32c;
	__le32 reserved;
};

#endif /* _UAPI_VIRTIO_VFIO_PCI_RS_H */
