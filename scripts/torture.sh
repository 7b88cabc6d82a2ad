#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Anything in any order, for as long as one likes (see Documentation/selftests.rst).
#
#   torture.sh run TIME [SEED]   for TIME (seconds, or 10m, or 2h), and record
#
# On the debug kernel, if it was built, and else on the test kernel.

. "$(dirname "$0")/lib.sh"

RECORD=Documentation/proof/torture.json

[ "${1:-}" = run ] && [ $# -ge 2 ] || die "usage: torture.sh run TIME [SEED]"
need_root
time=$(seconds "$2")
seed=${3:-$(date +%s)}
flavour=test
[ ! -e "$CACHE/$(basename "$("$TOP/scripts/kernel.sh" path debug)")" ] || flavour=debug
"$TOP/scripts/module.sh" build $flavour
"$TOP/scripts/selftests.sh" build
from=$(revision)
log=$LOGS/torture-run.log
say "  torture on the $flavour kernel for $time s, seed $seed"
rc=0
# virtio_pci of Linux 7.3 allocates indirect descriptors with a spin lock held.
VVP_KERNEL=$("$TOP/scripts/kernel.sh" path $flavour) VVP_MODULE=$("$TOP/scripts/module.sh" path $flavour) \
	"$TOP/scripts/selftests.sh" run l1 --timeout $((time + 1500)) --bench-arg=--no-indirect -- \
	vvp-selftests --bench --torture-seed "$seed" --torture-seconds "$time" torture.rs.at_random |
	tee "$log" | grep --line-buffered -v '^# round ' || rc=${PIPESTATUS[0]}
[ $rc = 0 ] || die "something is wrong: the whole report is in $log"
"$TOP/scripts/toolroot.sh" run python3 /src/scripts/torture-record.py "/src/$RECORD" \
	"/products/log/$(basename "$log")" "$from"
