#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes what 'make demo' and 'make check' run: a matter of seconds when it is there
# already, of twelve minutes (demo) to twenty when nothing is.
#
#   setup.sh [demo]   with demo: only what that needs

. "$(dirname "$0")/lib.sh"

"$TOP/scripts/preflight.sh" ${1:+"$1"}
need_root
"$TOP/scripts/toolroot.sh" build
# What a registry does not give is better known before the kernel is built.
"$TOP/scripts/selftests.sh" fetch
"$TOP/scripts/kernel.sh" build test
"$TOP/scripts/module.sh" build test
if [ "${1:-}" = demo ]; then
	"$TOP/scripts/selftests.sh" build demo
	exit
fi
"$TOP/scripts/kernel-selftests.sh" build
"$TOP/scripts/stock-kernel.sh" build
"$TOP/scripts/selftests.sh" build
