#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian packages of the module (for DKMS) and of the tools, built in the toolroot.
#
#   packages.sh build [DIR]   make them, and copy them to DIR
#   packages.sh test          install, upgrade and remove them in a clean Debian root
#
# Without DIR they stay in the cache, whose place the last line says.
# VVP_PACKAGE_VERSION is their version if it is not to be that of debian/changelog.

. "$(dirname "$0")/lib.sh"

build() {
	"$TOP/scripts/toolroot.sh" run /src/scripts/packages-build.sh ${VVP_PACKAGE_VERSION:+"$VVP_PACKAGE_VERSION"}
}

case ${1:-} in
build)
	need_root
	out=${2:-}
	version=${VVP_PACKAGE_VERSION:-$(sed -n '1s/.*(\(.*\)).*/\1/p' "$TOP/debian/changelog")}
	"$TOP/scripts/toolroot.sh" build
	hold alone step packages "read the log: debhelper or cargo says what is wrong" build
	made=$PRODUCTS/packages/$version
	if [ -n "$out" ]; then
		mkdir -p "$out"
		cp "$made"/* "$out"
		made=$out
	fi
	ls "$made"/*.deb
	;;
test)
	need_root
	"$TOP/scripts/toolroot.sh" build
	exec "$TOP/scripts/toolroot.sh" run /src/scripts/packages-test.sh
	;;
*)
	die "usage: packages.sh build [DIR] | test"
	;;
esac
