#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes everything that 'make demo' and 'make check' run: a matter of seconds
# when it is there already, of a quarter of an hour when nothing is.

. "$(dirname "$0")/lib.sh"

need_root
"$TOP/scripts/toolroot.sh" build
"$TOP/scripts/kernel.sh" build test
"$TOP/scripts/kernel-selftests.sh" build
"$TOP/scripts/module.sh" build test
"$TOP/scripts/stock-kernel.sh" build
"$TOP/scripts/selftests.sh" build
