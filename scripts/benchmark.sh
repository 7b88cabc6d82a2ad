#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Measures this driver beside the in-tree one, and writes the report.
#
#   benchmark.sh DIRECTORY [ARGUMENT...]   DIRECTORY of the project, made if it is missing

. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || die "usage: benchmark.sh DIRECTORY [ARGUMENT...]"
out=$1
shift
case $out in
/* | *..*) die "$out: name a directory of the project, relative to its top" ;;
esac
revision=$(git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown)
exec "$TOP/scripts/selftests.sh" run benchmark --out "/src/$out" --revision "$revision" "$@"
