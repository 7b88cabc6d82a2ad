#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Says in one line why the module cannot be built for a kernel, or not be loaded
# into it, before any compiler does in many.
#
#   check-kernel.sh HEADERS    a kernel's build directory or headers
#
# Environment: RUSTC, BINDGEN, SIGN, SIGN_KEY, SIGN_CERT, VVP_KERNEL_SERIES, as 'make' takes them.

set -euo pipefail
TOP=$(cd "$(dirname "$0")/.." && pwd)
. "$TOP/scripts/kernel-checks.sh"

[ $# = 1 ] || refuse "usage: check-kernel.sh HEADERS"
need_headers "$1" "$(sed -n 's#.*/lib/modules/\([^/]*\)/build/*$#\1#p' <<<"$1")"
need_rust "$1"
need_tried "$TOP"
need_metadata "$1"
need_rustc "$1"
need_bindgen
need_loadable
