#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fuzzing of everything that parses (see Documentation/fuzzing.rst).
#
#   fuzz.sh build                    the targets
#   fuzz.sh run TIME [TARGET...]     for TIME (seconds, or 10m, or 2h), and record
#   fuzz.sh record                   put what was run and counted into Documentation/proof
#   fuzz.sh minimize [TARGET...]     choose the corpus in the tree anew
#   fuzz.sh coverage                 measure what the corpus reaches, and record

. "$(dirname "$0")/lib.sh"

RECORD=Documentation/proof/fuzz.json

inside() { "$TOP/scripts/toolroot.sh" run "$@"; }

build_targets() {
	mkdir -p "$PRODUCTS/fuzz"
	step fuzz "read the log: cargo says which crate and why" inside /src/scripts/fuzz-targets.sh build
	revision >"$PRODUCTS/fuzz/revision"
}

case ${1:-} in
build)
	need_root
	build_targets
	;;
run)
	need_root
	[ $# -ge 2 ] || die "usage: fuzz.sh run TIME [TARGET...]"
	time=$(seconds "$2")
	shift 2
	build_targets
	rc=0
	inside /src/scripts/fuzz-targets.sh run "$time" "$@" || rc=$?
	inside python3 /src/scripts/fuzz-record.py "/src/$RECORD" executions /products/fuzz/counts
	[ $rc = 0 ] || die "a target has failed: its input is in $PRODUCTS/fuzz/artifacts"
	;;
record)
	need_root
	inside python3 /src/scripts/fuzz-record.py "/src/$RECORD" executions /products/fuzz/counts
	;;
minimize)
	need_root
	build_targets
	inside /src/scripts/fuzz-targets.sh "$@"
	;;
coverage)
	need_root
	build_targets
	from=$(revision)
	inside bash -c '/src/scripts/fuzz-targets.sh coverage >/products/fuzz/coverage.jsonl
		exec python3 /src/scripts/fuzz-record.py "$1" coverage /products/fuzz/coverage.jsonl "$2"' \
		coverage "/src/$RECORD" "$from"
	;;
*)
	die "usage: fuzz.sh build|run TIME [TARGET...]|record|minimize [TARGET...]|coverage"
	;;
esac
