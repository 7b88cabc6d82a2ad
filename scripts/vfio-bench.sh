#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The bench alone: vfio-bench and vfio-bench-guest as static programs, which run on any
# x86-64 Linux, and the manual page.
#
#   vfio-bench.sh build [DIR]   make them, and copy them to DIR
#
# Without DIR they stay in the cache. The last lines say where they are.

. "$(dirname "$0")/lib.sh"

programs() {
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		cd /src
		export CARGO_TARGET_DIR=/products/target RUSTFLAGS="-C target-feature=+crt-static"
		cargo build --release --locked --target x86_64-unknown-linux-gnu -p vfio-bench -p vfio-bench-guest
		rm -rf /products/vfio-bench
		mkdir /products/vfio-bench
		cd /products/vfio-bench
		cp $CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/vfio-bench{,-guest} .
		./vfio-bench --man >vfio-bench.1'
}

[ "${1:-}" = build ] && [ $# -le 2 ] || die "usage: vfio-bench.sh build [DIR]"
need_root
out=${2:-}
made=$PRODUCTS/vfio-bench
"$TOP/scripts/toolroot.sh" build
hold alone step vfio-bench "read the log: cargo says which crate and why" programs
if [ -n "$out" ]; then
	mkdir -p "$out"
	cp "$made"/* "$out"
	made=$out
fi
ls "$made"/*
