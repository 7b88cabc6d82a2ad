#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs the conformance suite on four drivers, and writes the tables.
#
#   conformance.sh DIRECTORY   DIRECTORY of the project, made if it is missing

. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || die "usage: conformance.sh DIRECTORY"
out=$1
case $out in
/* | *..*) die "$out: name a directory of the project, relative to its top" ;;
esac
mkdir -p "$TOP/$out"
bench=(rs.cdev rs.group c.cdev c.group mtty.cdev mtty.group)
edu=(edu.cdev edu.group)
rm -f "$TOP/$out"/*.json

# suite ARGUMENT... -- SUBJECT...: what deviates from the lists of what is known fails, and is
# in the report all the same.
status=0
suite() {
	local arguments=()
	while [ "$1" != -- ]; do
		arguments+=("$1")
		shift
	done
	shift
	"$TOP/scripts/selftests.sh" run l1 --timeout 900 "${arguments[@]}" -- \
		/src/runner/l1/conformance --json "/src/$out" \
		--revision "$(revision | paste -sd, | sed 's/,/, /')" "$@" || status=1
}
suite -- "${bench[@]}"
suite --no-bench --qemu-arg=-device --qemu-arg=intel-iommu --qemu-arg=-device --qemu-arg=edu \
	--qemu-arg=-device --qemu-arg=edu -- "${edu[@]}"

reports=()
for subject in "${bench[@]}" "${edu[@]}"; do
	[ -e "$TOP/$out/$subject.json" ] || die "no report of $subject: see above"
	reports+=("/src/$out/$subject.json")
done
{
	echo ".. SPDX-License-Identifier: GPL-2.0"
	echo ".. Made by 'make conformance'."
	"$TOP/scripts/toolroot.sh" run /products/target/debug/vfio-mig-conformance --table "${reports[@]}"
} >"$TOP/$out/tables.inc"
say "$out/tables.inc has the tables."
exit $status
