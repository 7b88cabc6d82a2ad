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
ours=(rs.cdev rs.group log.cdev log.group)
# In an L1 of their own: both can crash its kernel.
others=(c.cdev mtty.cdev)
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
	"$TOP/scripts/selftests.sh" run l1 --timeout 900 --results "/src/$out" "${arguments[@]}" -- \
		/src/runner/l1/conformance --json results \
		--revision "$(revision | paste -sd, | sed 's/,/, /')" "$@" || status=1
}
suite -- "${ours[@]}"
for subject in "${others[@]}"; do
	suite -- "$subject"
done
suite --no-bench --qemu-arg=-device --qemu-arg=intel-iommu --qemu-arg=-device --qemu-arg=edu \
	--qemu-arg=-device --qemu-arg=edu -- "${edu[@]}"

reports=()
for subject in "${ours[@]}" "${others[@]}" "${edu[@]}"; do
	if [ -e "$TOP/$out/$subject.json" ]; then
		reports+=("/src/$out/$subject.json")
	else
		say "error: no report of $subject, which did not get to its end"
		status=1
	fi
done
[ ${#reports[@]} -gt 0 ] || die "no report at all"
{
	echo ".. SPDX-License-Identifier: GPL-2.0"
	echo ".. Made by 'make conformance'."
	"$TOP/scripts/toolroot.sh" run /products/target/debug/vfio-mig-conformance --table "${reports[@]}"
} >"$TOP/$out/tables.inc"
say "$out/tables.inc has the tables."
exit $status
