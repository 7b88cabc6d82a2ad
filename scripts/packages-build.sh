#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the packages, inside the toolroot: into /products/packages/VERSION.
#
#   packages-build.sh [VERSION]   default: the version of debian/changelog

set -euo pipefail

work=/products/packages
source=$work/source
mkdir -p "$source"
# Packages are built in a copy: what a build leaves must not get into the tree. What
# .gitignore names stays behind on both sides.
rsync -a --delete --filter=':- .gitignore' --exclude=/.git /src/ "$source/"

changelog=$source/debian/changelog
own=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$changelog")
version=${1:-$own}
if [ "$version" != "$own" ]; then
	{
		sed -e "1s/(.*)/($version)/" -e "/^  \*/s/\* .*/* Build of $(date -u +%F)./" \
			-e "s/^\( -- .*>  \).*/\1$(date -uR)/" -e '/^ -- /q' "$changelog"
		echo
		cat /src/debian/changelog
	} >"$changelog.new"
	mv "$changelog.new" "$changelog"
fi

cd "$source"
# What is compiled is kept for the next build.
CARGO_TARGET_DIR=$work/target dpkg-buildpackage --build=binary --no-sign

rm -rf "${work:?}/$version"
mkdir "$work/$version"
mv "$work"/*_"$version"_*.{deb,buildinfo,changes} "$work/$version"
