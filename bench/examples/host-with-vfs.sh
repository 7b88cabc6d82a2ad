#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A host with migratable virtual functions, as a virtual machine: the place to test a VMM in.
#
#   host-with-vfs.sh DIR KERNEL [QEMU ARGUMENT...]
#
# DIR is for sockets and logs. KERNEL is a bzImage; what follows is whatever else your machine
# needs, such as -initrd or -drive. From the environment:
#
#   QEMU    the QEMU that plays the host, 10.1 or later   (qemu-system-x86_64)
#   BENCH   the bench, with options                       (vfio-bench)
#   MEMORY  of the machine                                (4G)
#   ACCEL   kvm where there is KVM, else tcg
#   APPEND  more of the kernel's command line             (console=ttyS0)
#
# The machine's console is the terminal. When QEMU ends, so does the bench.

set -euo pipefail

dir=${1:?usage: host-with-vfs.sh DIR KERNEL [QEMU ARGUMENT...]}
kernel=${2:?usage: host-with-vfs.sh DIR KERNEL [QEMU ARGUMENT...]}
shift 2
qemu=${QEMU:-qemu-system-x86_64}
memory=${MEMORY:-4G}
accel=${ACCEL:-$([ -w /dev/kvm ] && echo kvm || echo tcg)}
# The VMM under test wants KVM, too: the CPU must have SVM or VMX.
cpu=$([ "$accel" = kvm ] && echo host || echo max)

mkdir -p "$dir"
dir=$(realpath "$dir")
rm -f "$dir/ready"
mkfifo "$dir/ready"
${BENCH:-vfio-bench} --dir "$dir" --qemu "$qemu" >"$dir/ready" 2>"$dir/bench.log" &
bench=$!
trap 'kill $bench 2>/dev/null || :' EXIT
if ! grep -qx ready "$dir/ready"; then
	cat "$dir/bench.log" >&2
	exit 1
fi
mapfile -t arguments <"$dir/qemu.args"

# Shared, because the bench accesses the machine's memory through this memfd. Without
# intremap=off the guest's firmware and kernel disagree about the IOMMU.
"$qemu" -accel "$accel" -cpu "$cpu" -smp 2 -m "$memory" -nodefaults -no-reboot -nographic -serial mon:stdio \
	-machine q35,memory-backend=mem \
	-object "memory-backend-memfd,id=mem,size=$memory,share=on" \
	-kernel "$kernel" -append "intremap=off iommu.strict=1 ${APPEND:-console=ttyS0}" \
	"${arguments[@]}" \
	-device virtio-serial-pci -chardev "socket,id=control,path=$dir/control.sock" \
	-device virtserialport,chardev=control,name=bench.control \
	"$@"
