/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Is the source of the kernel's iommufd at hand? Then VVP_IOMMUFD_SOURCE is defined.
 * For the files that are built with its directory in their search path: either all
 * of them can do their part, or none may.
 */
#ifndef VVP_IOMMUFD_SOURCE_H
#define VVP_IOMMUFD_SOURCE_H

#if IS_ENABLED(CONFIG_IOMMUFD) && IS_ENABLED(CONFIG_IOMMUFD_DRIVER) && \
	__has_include("io_pagetable.h") && \
	__has_include("iommufd_private.h") && \
	__has_include("iova_bitmap.c") && \
	__has_include(<generated/utsversion.h>)
#define VVP_IOMMUFD_SOURCE
#endif

#endif
