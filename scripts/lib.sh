# SPDX-License-Identifier: GPL-2.0
# Shared by every script here: where things are cached, and how a long step
# shows progress and reports failure. Source it, do not run it.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Slow products live outside the tree so that a fresh clone starts warm.
CACHE=${VVP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/virtio-vfio-pci-rs}
# What is compiled from this tree belongs to it alone. cargo and kbuild go by time and
# path: with products in common, a tree would be tested by another's code. The directory
# itself counts, too, in case another one takes its place.
products_of() { echo "$CACHE/trees/$(stat -c "%n %d %i" "$1" | sha256sum | cut -c1-12)"; }
PRODUCTS=$(products_of "$TOP")
LOGS=$PRODUCTS/log
# Names in it are given to programs that run elsewhere.
case $CACHE in
/*) ;;
*) printf 'error: VVP_CACHE=%s: give an absolute path\n' "$CACHE" >&2; exit 1 ;;
esac

die() { printf 'error: %s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*" >&2; }

# need_places: the directories that steps write to.
need_places() {
	[ -e "$PRODUCTS/tree" ] && return
	mkdir -p "$LOGS" 2>/dev/null || die "cannot create $LOGS: make it possible, or name another place with VVP_CACHE"
	echo "$TOP" >"$PRODUCTS/tree"
}

# as_root COMMAND...: as root of namespaces of its own, in which mounts do not outlive the
# command. For root that is a mount namespace; for others a user namespace, too, in which
# they are root, with the subordinate users that newuidmap has for them.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		unshare --mount --propagation private -- "$@"
	else
		unshare --user --map-root-user --map-auto --mount --propagation private -- "$@"
	fi
}

# need_root: something can be root, as as_root makes it.
need_root() {
	need_places
	[ -z "${VVP_IS_ROOT:-}" ] || return 0
	local said
	if ! said=$(as_root mount -t tmpfs tmpfs /tmp 2>&1); then
		[ "$(id -u)" != 0 ] || die "root may not mount here: start the container with --privileged ($said)"
		command -v newuidmap >/dev/null ||
			die "run 'sudo make ...', or install newuidmap (Debian: uidmap) and run it without sudo"
		grep -qE "^($(id -un)|$(id -u)):" /etc/subuid 2>/dev/null ||
			die "run 'sudo make ...', or give $(id -un) subordinate users: 'usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)'"
		die "run 'sudo make ...': this user may not create user namespaces ($said)"
	fi
	export VVP_IS_ROOT=y
}

# step NAME HINT COMMAND...: run COMMAND with its output in a log. On a terminal
# the last log line is shown while it runs; elsewhere a line every 30 seconds.
# On failure: which step, where its log is, what to do (HINT).
step() {
	need_places
	local name=$1 hint=$2 log=$LOGS/$1.log start=$SECONDS next=30 pid rc=0
	shift 2
	# A process group of its own, so that an interrupt ends all of the step.
	set -m
	( "$@" ) >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	trap 'kill -- "-$pid" 2>/dev/null || :; exit 130' INT TERM HUP
	[ -t 2 ] || say "  $name ..."
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		if [ -t 2 ]; then
			printf '\r\033[K  %-22s %4ds  %.90s' "$name" $((SECONDS - start)) \
				"$(tail -c 300 "$log" | tr '\r\t' '\n ' | grep -a . | tail -n 1 | tr -cd '[:print:]')" >&2
		elif [ $((SECONDS - start)) -ge $next ]; then
			say "  $name: $((SECONDS - start)) s: $(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c1-100)"
			next=$((next + 30))
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM HUP
	[ -t 2 ] && printf '\r\033[K' >&2
	if [ $rc -ne 0 ]; then
		say "error: step '$name' failed after $((SECONDS - start)) s (exit status $rc). Its last lines:"
		tail -n 15 "$log" | sed 's/^/    /' >&2
		! grep -q 'No space left on device' "$log" ||
			hint="free space on $(df --output=target "$CACHE" | tail -n 1) ('make cache-prune' removes what no tree needs), then run again"
		say "  log:  $log"
		say "  next: $hint"
		exit 1
	fi
	printf '  %-22s done in %d s\n' "$name" $((SECONDS - start)) >&2
}

# with_lock NAME COMMAND...: two runs on one machine must not build one cache entry at once.
with_lock() {
	need_places
	local name=$1
	shift
	(
		flock -n 9 || { say "waiting for another run that builds $name"; flock 9; }
		"$@"
	) 9>"$CACHE/$name.lock"
}

# need_toolroot: sets root to the toolroot's place, stamp to the file with the version
# of its kernel source, and series to that kernel's.
need_toolroot() {
	root=$("$TOP/scripts/toolroot.sh" path)
	stamp=$root/etc/virtio-vfio-pci-rs/kernel-version
	[ -e "$stamp" ] || die "no toolroot yet: run 'scripts/toolroot.sh build' first"
	series=$(cat "$root/etc/virtio-vfio-pci-rs/kernel-series")
}

# versions_of PACKAGE...: which versions of them the toolroot has, a line each.
versions_of() {
	local IFS='|'
	awk -v names="$*" '$0 ~ "^Package: (" names ")$" { p = $2 } /^Version:/ && p { print p, $2; p = "" }' \
		"$root/var/lib/dpkg/status"
}

# hold MODE [COMMAND...]: with the products of this tree held, "shared" by who runs them and
# "alone" by who replaces them.
hold() {
	need_places
	local mode=--$1
	shift
	[ "$mode" = --shared ] || mode=--exclusive
	(
		flock -n $mode 8 || { say "waiting for a run that uses what was built from this tree"; flock $mode 8; }
		"$@"
	) 8>"$PRODUCTS/lock"
}

# revision: what this tree is, for a report.
revision() {
	local git=(git -C "$TOP" -c safe.directory="$TOP")
	"${git[@]}" rev-parse --git-dir >/dev/null 2>&1 || { echo "not in git"; return; }
	local changes=
	if [ -n "$("${git[@]}" status --porcelain)" ]; then
		changes=$({ "${git[@]}" diff HEAD; "${git[@]}" ls-files -o --exclude-standard -z | (cd "$TOP" && xargs -0r sha256sum); } | sha256sum)
		changes=", with changes ${changes:0:12}"
	fi
	echo "$("${git[@]}" describe --always --abbrev=12)$changes"
}

# seconds TIME: of a time like 90, 10m or 2h.
seconds() {
	case $1 in
	*[!0-9smh]* | '') die "$1: give a time in seconds, or like 10m or 2h" ;;
	*h) echo $((${1%h} * 3600)) ;;
	*m) echo $((${1%m} * 60)) ;;
	*) echo "${1%s}" ;;
	esac
}

# recipe_of SCRIPT: the lines of it that say how something is made.
recipe_of() { sed -n '/^# BEGIN recipe/,/^# END recipe/p' "$1"; }
