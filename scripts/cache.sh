#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What is in the cache, and what of it nothing needs any more.
#
#   cache.sh list         what there is, how large, and what needs it
#   cache.sh prune        remove what neither this tree nor any other that still exists needs
#   cache.sh prune --all  remove everything

. "$(dirname "$0")/lib.sh"

[ -d "$CACHE" ] || { say "$CACHE: there is no cache"; exit 0; }

# trees: the directories of products whose tree is still where it was.
trees() {
	local entry tree
	for entry in "$CACHE"/trees/*; do
		tree=$(cat "$entry/tree" 2>/dev/null) && [ -d "$tree/scripts" ] &&
			[ "$(products_of "$tree")" = "$entry" ] && echo "$entry"
	done
	:
}

# needed: names of entries that a tree needs, as its own scripts say them.
needed() {
	local entry tree
	printf '%s\n' cargo fuzz mmdebstrap run trees
	while read -r entry; do
		tree=$(cat "$entry/tree")
		for script in toolroot kernel kernel-selftests stock-kernel; do
			for flavour in '' test debug arm64; do
				VVP_CACHE=$CACHE "$tree/scripts/$script.sh" path $flavour 2>/dev/null | xargs -r basename
			done
		done
	done < <(trees)
	# Named after what it was made of, which only its maker knows.
	for entry in "$CACHE"/rust-metadata-*; do
		[ ! -e "$entry" ] || basename "$entry"
	done
}

size() { du -sh --one-file-system "$1" 2>/dev/null | cut -f1; }

list() {
	local keep entry name tree
	keep=$(needed | sort -u)
	for entry in "$CACHE"/*; do
		name=$(basename "$entry")
		case $name in
		trees | log | *.lock) continue ;;
		esac
		printf '%6s  %-34s %s\n' "$(size "$entry")" "$name" \
			"$(grep -qxF "$name" <<<"$keep" || echo "no tree needs it")"
	done
	for entry in "$CACHE"/trees/*; do
		[ -d "$entry" ] || continue
		tree=$(cat "$entry/tree" 2>/dev/null || echo "a tree without a name")
		printf '%6s  %-34s %s\n' "$(size "$entry")" "trees/$(basename "$entry")" \
			"$tree$(trees | grep -qxF "$entry" || echo ", which is gone")"
	done
	printf '%6s  in all, in %s\n' "$(size "$CACHE")" "$CACHE"
}

# remove ENTRY...: unless somebody holds it. What namespaces made belongs to others.
remove() {
	local entry
	for entry; do
		(
			flock -n 8 || { say "in use: $entry"; exit 0; }
			say "removing $entry"
			as_root rm -rf --one-file-system "$entry"
		) 8>"$CACHE/prune.lock"
	done
}

prune() {
	local keep entry name alive
	need_root
	keep=$(needed | sort -u)
	alive=$(trees)
	for entry in "$CACHE"/*; do
		name=$(basename "$entry")
		case $name in
		*.lock) continue ;;
		*.tmp) [ -z "$(find "$entry" -maxdepth 0 -mmin -120)" ] || continue ;;
		*) ! grep -qxF "$name" <<<"$keep" || continue ;;
		esac
		remove "$entry"
	done
	for entry in "$CACHE"/trees/*; do
		[ ! -d "$entry" ] || grep -qxF "$entry" <<<"$alive" || remove "$entry"
	done
}

case ${1:-} in
list) list ;;
prune)
	if [ "${2:-}" = --all ]; then
		need_root
		as_root rm -rf --one-file-system "$CACHE"
	else
		prune
	fi
	;;
*) die "usage: cache.sh list | prune [--all]" ;;
esac
