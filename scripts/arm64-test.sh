#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Looks at the modules that were built for arm64, inside the toolroot. They are not run:
# there is no bench for that machine. Prints KTAP.

set -uo pipefail

built=$(ls -td /products/module-kernel-arm64-* 2>/dev/null | head -n 1)
modules=(virtio_vfio_pci_rs edu_vfio_pci_rs)

# Built for what it says, by the compiler that built that kernel, with what finds it.
is_sound() {
	local file=$built/$1.ko
	[ -e "$file" ] || { echo "no $file: scripts/module.sh build arm64"; return 1; }
	readelf -h "$file" | grep -q 'Machine: *AArch64' || { echo "not for arm64"; return 1; }
	modinfo -F vermagic "$file" | grep -q ' aarch64$' || { echo "vermagic: $(modinfo -F vermagic "$file")"; return 1; }
	modinfo -F alias "$file" | grep -q '^vfio_pci:v' || { echo "no alias that VFIO finds it by"; return 1; }
}

echo "TAP version 13"
echo "1..${#modules[@]}"
failed=0
for number in "${!modules[@]}"; do
	name=arm64.${modules[$number]}
	if why=$(is_sound "${modules[$number]}"); then
		echo "ok $((number + 1)) $name"
	else
		echo "# $why"
		echo "not ok $((number + 1)) $name"
		failed=1
	fi
done
exit $failed
