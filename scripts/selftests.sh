#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The userspace side: bench, tests, runner, and the guest that is migrated.
#
#   selftests.sh fetch            fetch the crates
#   selftests.sh build [demo]     make what is not up to date; with demo, what that runs
#   selftests.sh run ARGUMENT...  run vvp-run in the toolroot with the test kernel
#   selftests.sh record           put the results of the last run into Documentation

. "$(dirname "$0")/lib.sh"

TARGET=/products/target
GUEST=x86_64-unknown-linux-gnu

fetch() {
	"$TOP/scripts/toolroot.sh" run bash -c 'cd /src && exec cargo fetch --locked'
}

# programs PACKAGE...: all of the workspace without any
programs() {
	"$TOP/scripts/toolroot.sh" run bash -c '
		cd /src
		export CARGO_TARGET_DIR=$1
		shift
		exec cargo build --locked --bins "$@"' programs "$TARGET" ${1:---workspace} "${@:2}"
}

# The guest's only process is one static program, so its whole file system is
# one file. The kernel's built-in initramfs brings /dev/console.
guest() {
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		cd /src
		export CARGO_TARGET_DIR=$1 RUSTFLAGS="-C target-feature=+crt-static"
		cargo build --locked -p vvp-lab --bin l2-guest --no-default-features --target "$2"
		mkdir -p "$1/l2/root.tmp"
		strip -o "$1/l2/root.tmp/init" "$1/$2/debug/l2-guest"
		(cd "$1/l2/root.tmp" && echo init | cpio --quiet -o -H newc | gzip -1) >"$1/l2/initrd.tmp"
		mv "$1/l2/initrd.tmp" "$1/l2/initrd.gz"
		rm -r "$1/l2/root.tmp"' guest "$TARGET" "$GUEST"
}

build_programs() {
	local from
	from=$(revision)
	step selftests "read the log: cargo says which crate and why" programs "$@"
	step guest "read the log: cargo says which crate and why" guest
	echo "$from" >"$PRODUCTS/target/debug/revision"
}

case ${1:-} in
fetch)
	need_root
	step crates "check the network and https_proxy: cargo says what it could not reach" fetch
	;;
build)
	need_root
	if [ "${2:-}" = demo ]; then
		hold alone build_programs -p vvp-run -p vfio-bench -p vvp-lab
	else
		hold alone build_programs
	fi
	;;
run)
	shift
	need_root
	from=$(revision)
	# What is run stays as it is until the end.
	hold shared "$TOP/scripts/toolroot.sh" run env VVP_KERNEL="${VVP_KERNEL:-$("$TOP/scripts/kernel.sh" path)}" \
		VVP_REVISION="$from" VVP_OUTSIDE_CACHE="$CACHE" VVP_OUTSIDE_PRODUCTS="$PRODUCTS" \
		VVP_KERNEL_SELFTESTS="$("$TOP/scripts/kernel-selftests.sh" path)" \
		VVP_STOCK_KERNEL="$("$TOP/scripts/stock-kernel.sh" path)" \
		VVP_STOCK_MODULE="$("$TOP/scripts/stock-kernel.sh" module)" \
		VVP_DEBUG_KERNEL="$("$TOP/scripts/kernel.sh" path debug)" \
		VVP_DEBUG_MODULE="$("$TOP/scripts/module.sh" path debug)" \
		VVP_MODULE="${VVP_MODULE:-$("$TOP/scripts/module.sh" path)}" "$TARGET/debug/vvp-run" "$@"
	[ "$1" != check ] || [ "$(revision)" = "$from" ] ||
		die "the tree was changed during the run: what was tested is neither what it is nor what it was"
	;;
record)
	last=$(find "$PRODUCTS/results" -mindepth 1 -maxdepth 1 2>/dev/null | sort | tail -n 1)
	[ -n "$last" ] || die "no results of this tree yet: 'make check' makes some"
	cp "$last/summary.rst" "$TOP/Documentation/test-results.rst"
	say "Documentation/test-results.rst has the results of $last"
	;;
*)
	die "usage: selftests.sh fetch|build [demo]|run ARGUMENT...|record"
	;;
esac
