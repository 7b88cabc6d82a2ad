# SPDX-License-Identifier: GPL-2.0
# Can a module in Rust be built for a kernel, and will that kernel load it?
# Each function ends the script with one line that says what is missing and what
# to do about it. Source it, do not run it.
#
# A kernel is known by its headers: a build directory, or what a distribution
# installs for building modules.

# refuse TEXT...: that line. What calls these has its own way to say it.
refuse() { printf 'error: %s\n' "$*" >&2; exit 1; }

# option HEADERS NAME: the value of CONFIG_NAME, without quotes; empty if it is not set.
option() { sed -n "s/^CONFIG_$2=//p" "$1/.config" | sed 's/^"\(.*\)"$/\1/'; }

# need_headers HEADERS RELEASE: sets release, the kernel's full version.
need_headers() {
	[ -e "$1/.config" ] || refuse "no kernel headers in $1: install them (Debian: apt install linux-headers-${2:-RELEASE})"
	release=$(cat "$1/include/config/kernel.release" 2>/dev/null) ||
		refuse "the kernel in $1 has not been built or prepared: it has no include/config/kernel.release"
}

# need_rust HEADERS
need_rust() {
	[ "$(option "$1" RUST)" = y ] ||
		refuse "kernel $release is built without CONFIG_RUST: no module in Rust can be built for it"
}

# need_x86 HEADERS: what making Rust metadata has been tried for.
need_x86() {
	local arch
	[ "$(option "$1" X86_64)" != y ] || return 0
	arch=$(sed -n '1,5s#^\# Linux/\([^ ]*\) .*#\1#p' "$1/.config")
	refuse "kernel $release is for ${arch:-another architecture}: Rust metadata is made for kernels for x86-64 only; build that kernel from its source, with Rust, and use that as KDIR"
}

# need_tried TOP: sets series. Only what someone has tried is expected to work; who
# names the series in VVP_KERNEL_SERIES tries it.
need_tried() {
	local known
	series=$(sed -nE 's/^([0-9]+\.[0-9]+).*/\1/p' <<<"$release")
	known=$(grep -v '^#' "$1/scripts/kernel-series")
	grep -qx -- "$series" <<<"$known" || [ "${VVP_KERNEL_SERIES:-}" = "$series" ] ||
		refuse "kernel $release: nobody has tried series $series (tried: $(echo $known)); VVP_KERNEL_SERIES=$series tries it"
}

# need_rustc HEADERS: symbols and metadata are of one version of the compiler.
need_rustc() {
	local rustc=${RUSTC:-rustc} want found
	want=$(option "$1" RUSTC_VERSION_TEXT)
	found=$("$rustc" --version 2>/dev/null) ||
		refuse "no $rustc: install the one that built kernel $release, $want (Debian: apt install rustc rust-src)"
	[ "$found" = "$want" ] ||
		refuse "kernel $release was built by $want, '$rustc' is $found: install that one, or name it with RUSTC="
}

# need_bindgen
need_bindgen() {
	"${BINDGEN:-bindgen}" --version >/dev/null 2>&1 ||
		refuse "no ${BINDGEN:-bindgen}: install it (Debian: apt install bindgen)"
}

# need_metadata HEADERS
need_metadata() {
	[ -e "$1/rust/libkernel.rmeta" ] ||
		refuse "no Rust metadata in $1: scripts/rust-metadata.sh makes it for Debian's kernels; then make KDIR=\$(scripts/rust-metadata.sh)"
}

# enforcement RELEASE: print why the running kernel, if it is that one, loads signed
# modules only; nothing if it does not, or is another. VVP_SYSFS is for tests.
enforcement() {
	local sys=${VVP_SYSFS:-/sys} mode
	[ "$1" = "${VVP_RUNNING:-$(uname -r)}" ] || return 0
	mode=$(sed -n 's/.*\[\(.*\)\].*/\1/p' "$sys/kernel/security/lockdown" 2>/dev/null) || :
	case $mode in
	'' | none) ;;
	*) echo "it is locked down ($mode)"; return ;;
	esac
	case $(cat "$sys/module/module/parameters/sig_enforce" 2>/dev/null) in
	Y) echo "module.sig_enforce is set" ;;
	esac
}

# need_loadable: the module is signed after the build with SIGN_KEY and SIGN_CERT, or
# by someone else (SIGN=later), or the kernel takes it as it is.
need_loadable() {
	local why file
	if [ -n "${SIGN_KEY:-}${SIGN_CERT:-}" ]; then
		for file in "${SIGN_KEY:-}" "${SIGN_CERT:-}"; do
			[ -r "$file" ] || refuse "SIGN_KEY and SIGN_CERT must both name files that can be read: '$file'"
		done
		return
	fi
	[ "${SIGN:-}" != later ] || return 0
	why=$(enforcement "$release")
	[ -z "$why" ] ||
		refuse "kernel $release loads signed modules only, since $why: sign with SIGN_KEY=KEY SIGN_CERT=CERTIFICATE that the machine trusts (mokutil --import), or SIGN=later"
}
