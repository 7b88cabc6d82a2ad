#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Inside the host: migrates a guest from one virtual function to another, between two QEMUs, and
# checks that it counts on and still hears an echo. From the environment:
#
#   VMM      the QEMU under test           (qemu-system-x86_64)
#   DRIVER   of the virtual functions      (virtio_vfio_pci)
#   KERNEL   of the guest, a bzImage       (bzImage beside this script)
#   INITRD   of it, by guest-image.sh      (guest.gz beside this script)
#   FAULT    a request of the control protocol that is made before the migration

set -euo pipefail

here=$(dirname "$(realpath "$0")")
vmm=${VMM:-qemu-system-x86_64}
driver=${DRIVER:-virtio_vfio_pci}
kernel=${KERNEL:-$here/bzImage}
initrd=${INITRD:-$here/guest.gz}
# Seconds after which something is taken to hang. A host that is interpreted is slow.
patience=300
dir=$(mktemp -d)
PATH=$here:$PATH

declare -A to from

# qmp NAME COMMAND [ARGUMENTS]: what the QEMU answers.
qmp() {
	local line
	printf '{"execute":"%s","arguments":%s}\n' "$2" "${3:-"{}"}" >&"${to[$1]}"
	while read -r -t $patience -u "${from[$1]}" line; do
		case $line in
		*'"error"'*) echo "$line" >&2; return 1 ;;
		*'"return"'*) echo "$line"; return ;;
		esac
	done
	echo "$1 does not answer" >&2
	return 1
}

# start NAME FUNCTION ARGUMENT...: a QEMU with that function.
start() {
	local name=$1 function=$2 fd
	shift 2
	mkfifo "$dir/$name.in" "$dir/$name.out"
	exec {fd}<>"$dir/$name.in" && to[$name]=$fd
	exec {fd}<>"$dir/$name.out" && from[$name]=$fd
	# An emulated host may deliver an interrupt twice to a guest that does not tell it at
	# once that an interrupt has ended. On real processors "-cpu host" will do.
	"$vmm" -accel kvm -cpu host,kvm-pv-eoi=off -machine q35,usb=off -m 256 -nodefaults -display none \
		-kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 quiet" \
		-object iommufd,id=iommufd0 \
		-device "vfio-pci,host=$function,iommufd=iommufd0,enable-migration=on" \
		-chardev "pipe,id=qmp,path=$dir/$name" -mon chardev=qmp,mode=control \
		-serial "file:$dir/$name.console" "$@" &
	qmp "$name" qmp_capabilities >/dev/null
}

# wait_for COMMAND...: until it succeeds.
wait_for() {
	local end=$((SECONDS + patience))
	until "$@"; do
		[ $SECONDS -lt $end ] || { echo "in vain: $*"; tail -n 5 "$dir"/*.console; return 1; }
		sleep 1
	done
}

echoes() { [ "$(grep -c ': echo' "$dir/$1.console" 2>/dev/null)" -ge 3 ]; }
migrated() { status=$(qmp source query-migrate) && grep -Eq '"status": "(completed|failed)"' <<<"$status"; }
# The first or last number that a guest has counted to.
number() { grep -o 'count [0-9]*:' "$dir/$1.console" | "$2" -n 1 | tr -cd 0-9; }

goes_on() { [ "$(number source tail)" -gt $((before + 3)) ] && tail -n 1 "$dir/source.console" | grep -q ': echo'; }

modprobe -a iommufd vfio-pci kvm
modprobe kvm_amd 2>/dev/null || modprobe kvm_intel
# A module that is not installed has to be loaded already.
[ -e "/sys/bus/pci/drivers/$driver" ] || modprobe "$driver"
vfio-bench-guest vf-up --count 2 --driver "$driver" >"$dir/functions"
mapfile -t functions <"$dir/functions"
ip address replace 192.168.77.1/24 dev eth0
ip link set eth0 up

start source "${functions[0]}"
wait_for echoes source
start target "${functions[1]}" -incoming "unix:$dir/migration"
[ -z "${FAULT:-}" ] || vfio-bench-guest ask "$FAULT"
qmp source migrate "{\"uri\":\"unix:$dir/migration\"}" >/dev/null
wait_for migrated
echo "$status"
if ! grep -q '"status": "completed"' <<<"$status"; then
	# The guest is to go on where it was.
	before=$(number source tail)
	wait_for goes_on
	echo "the migration failed, and the guest goes on at its source"
	exit 2
fi
last=$(number source tail)
wait_for echoes target
first=$(number target head)
echo "counted to $last at the source, from $first on at the target"
[ "$first" -gt "$last" ]
