# SPDX-License-Identifier: GPL-2.0
"""Prints which VFIO driver libvirt takes for a PCI function: BUS SLOT FUNCTION.

libvirt has no command for it that needs no daemon and no hardware, so its function is
called as libvirt itself calls it.
"""

import ctypes
import sys

libvirt = ctypes.CDLL("libvirt.so.0")
libvirt.virPCIDeviceNew.restype = ctypes.c_void_p
libvirt.virPCIDeviceNew.argtypes = [ctypes.c_void_p]
find = libvirt.virPCIDeviceFindBestVFIOVariant
find.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p)]

# struct _virPCIDeviceAddress: domain, bus, slot, function, and what is of no matter here.
address = (ctypes.c_uint * 16)(0, *(int(word, 0) for word in sys.argv[1:4]))
device = libvirt.virPCIDeviceNew(address)
if not device:
    sys.exit("libvirt does not see the device")
name = ctypes.c_char_p()
if find(device, ctypes.byref(name)) < 0:
    sys.exit("libvirt could not look for a driver")
print(name.value.decode() if name.value else "vfio-pci")
