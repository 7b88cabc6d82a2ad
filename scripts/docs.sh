#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The documentation as HTML: the pages in Documentation, and rustdoc of the userspace
# crates and of the logic they share with the module.
#
#   docs.sh build   make it
#   docs.sh path    print where it is

. "$(dirname "$0")/lib.sh"

TARGET=/products/target

pages() {
	# From scratch: no page of another tree stays behind.
	rm -rf "$PRODUCTS/docs"
	"$TOP/scripts/toolroot.sh" run sphinx-build -W --keep-going -b html -d /products/docs/doctrees \
		/src/Documentation /products/docs/html
}

# Private items are documented, too: most readers are going to change the code.
crates() {
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		cd /src
		export CARGO_TARGET_DIR=$1
		export RUSTDOCFLAGS="-Dwarnings -Arustdoc::private-intra-doc-links"
		cargo doc --locked --workspace --no-deps --document-private-items
		rm -rf /products/docs/html/rust
		cp -r "$1/doc" /products/docs/html/rust' crates "$TARGET"
}

build_docs() {
	step docs-pages "fix what Sphinx says of the page and line it names" pages
	step docs-crates "fix what rustdoc says" crates
	say "open $PRODUCTS/docs/html/index.html"
}

case ${1:-} in
build)
	need_root
	build_docs
	;;
path) echo "$PRODUCTS/docs/html" ;;
*) die "usage: docs.sh build|path" ;;
esac
