#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The userspace side: bench, tests, runner, and the guest that is migrated.
#
#   selftests.sh build            make what is not up to date
#   selftests.sh run ARGUMENT...  run vvp-run in the toolroot with the test kernel

. "$(dirname "$0")/lib.sh"

TARGET=${VVP_TARGET:-/cache/target}
GUEST=x86_64-unknown-linux-gnu

programs() {
	"$TOP/scripts/toolroot.sh" run bash -c '
		cd /src/selftests
		export CARGO_TARGET_DIR=$1
		exec cargo build --locked --workspace --bins' programs "$TARGET"
}

# The guest's only process is one static program, so its whole file system is
# one file. The kernel's built-in initramfs brings /dev/console.
guest() {
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		cd /src/selftests
		export CARGO_TARGET_DIR=$1 RUSTFLAGS="-C target-feature=+crt-static"
		cargo build --locked -p l2 --bin l2-guest --no-default-features --target "$2"
		mkdir -p "$1/l2/root.tmp"
		strip -o "$1/l2/root.tmp/init" "$1/$2/debug/l2-guest"
		(cd "$1/l2/root.tmp" && echo init | cpio --quiet -o -H newc | gzip -1) >"$1/l2/initrd.tmp"
		mv "$1/l2/initrd.tmp" "$1/l2/initrd.gz"
		rm -r "$1/l2/root.tmp"' guest "$TARGET" "$GUEST"
}

build_locked() {
	step selftests "read the log: cargo says which crate and why" programs
	step guest "read the log: cargo says which crate and why" guest
}

case ${1:-} in
build)
	need_root
	with_lock selftests build_locked
	;;
run)
	shift
	need_root
	exec "$TOP/scripts/toolroot.sh" run env VVP_KERNEL="${VVP_KERNEL:-$("$TOP/scripts/kernel.sh" path)}" \
		VVP_KERNEL_SELFTESTS="$("$TOP/scripts/kernel-selftests.sh" path)" \
		VVP_STOCK_KERNEL="$("$TOP/scripts/stock-kernel.sh" path)" \
		VVP_STOCK_MODULE="$("$TOP/scripts/stock-kernel.sh" module)" \
		${VVP_MODULE:+VVP_MODULE="$VVP_MODULE"} "$TARGET/debug/vvp-run" "$@"
	;;
*)
	die "usage: selftests.sh build|run ARGUMENT..."
	;;
esac
