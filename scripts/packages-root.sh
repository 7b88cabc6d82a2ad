# SPDX-License-Identifier: GPL-2.0
# A clean Debian root to try packages in, and questions to it. Source it, do not run it;
# work, root and repository are set by who does.

SUITE=trixie
tarball=$work/clean-$SUITE-$(sed -n '/^# BEGIN recipe/,/^# END recipe/p' "${BASH_SOURCE[0]}" | cat - /etc/apt/sources.list | sha256sum | cut -c1-12).tar

# in_clean COMMAND...: there, with mounts that end with the command.
in_clean() {
	# In a chroot / is no mount whose propagation could be chosen; the toolroot's is private.
	unshare --mount --propagation unchanged -- bash -c '
		set -e
		root=$1 work=$2 repository=$3
		shift 3
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		# Another one may be given.
		mount --rbind "${VVP_SYS:-/sys}" "$root/sys"
		mkdir -p "$work/archives/partial" "$root/packages"
		mount --bind "$work/archives" "$root/var/cache/apt/archives"
		mount --bind "$repository" "$root/packages"
		exec chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' in_clean "$root" "$work" "$repository" "$@"
}

drop_clean_root() { rm -rf --one-file-system "$root" "$repository"; }

make_clean_root() {
	drop_clean_root
	mkdir -p "$root" "$repository"
	if [ ! -e "$tarball" ]; then
		rm -f "$work"/clean-*.tar
		# BEGIN recipe
		mmdebstrap --quiet --mode=root --format=tar --variant=minbase --aptopt='Acquire::Retries "3"' \
			--include=ca-certificates,systemd,udev $SUITE "$tarball.tmp" - </etc/apt/sources.list
		# END recipe
		mv "$tarball.tmp" "$tarball"
	fi
	tar -C "$root" --numeric-owner -xf "$tarball"
	# The network is reached as from here.
	cp -L /etc/resolv.conf "$root/etc/"
	cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	cp /etc/apt/apt.conf.d/80host-proxy "$root/etc/apt/apt.conf.d/"
	# Nothing in there needs to outlive a power failure.
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	mkdir "$root/packages"
	echo 'deb [trusted=yes] file:/packages ./' >"$root/etc/apt/sources.list.d/packages.list"
	echo 'APT::Sandbox::User "root";' >"$root/etc/apt/apt.conf.d/81root"
}

# publish VERSION: apt in the root finds the packages of that version.
publish() {
	rm -f "$repository"/*
	cp "$work/$1"/*.deb "$repository"
	(cd "$repository" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
}

# newest_kernel: of the series that the project knows, one whose source is there, too.
newest_kernel() {
	local series source name
	series=$(grep -v '^#' /src/scripts/kernel-series | head -n 1)
	source=$(in_clean apt-cache policy "linux-source-$series" | sed -n 's/^  Candidate: //p')
	for name in $(in_clean apt-cache search --names-only "^linux-headers-${series//./\\.}\\.[0-9]+\\+deb[0-9]+-amd64\$" | cut -d' ' -f1); do
		if in_clean apt-cache madison "$name" | cut -d'|' -f2 | grep -qxF " $source "; then
			echo "${name#linux-headers-}"
			return
		fi
	done
	echo "no headers for linux-source-$series $source" >&2
	return 1
}

# unowned: all files that are of no package, and no link to the alternative of one.
unowned() {
	comm -23 <(cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./packages -o -path ./tmp -o -path ./run \) -prune -o -print | sed 's/^\.//' | sort) \
		<(cat "$root"/var/lib/dpkg/{info/*.list,alternatives/*} | sed -E 's#^/(bin|sbin|lib|lib64)(/|$)#/usr/\1\2#' | sort -u) |
		grep -v '\.pyc$\|/__pycache__\|^/etc/alternatives/'
}

# pretend_kernel RELEASE OPTION...: headers that have a configuration and little else.
pretend_kernel() {
	local build=$root/usr/lib/modules/$1/build
	mkdir -p "$build/include/config"
	echo "$1" >"$build/include/config/kernel.release"
	shift
	printf '%s\n' "$@" | tee "$build/.config" >"$build/include/config/auto.conf"
}

# libvirt_choice RELEASE: the driver that libvirt's own code takes for a virtio network
# function on that kernel. It reads the modules.alias of the running one, and sysfs.
libvirt_choice() {
	local sys=$work/sys device modules=$root/usr/lib/modules running
	running=$(uname -r)
	device=$sys/bus/pci/devices/0000:65:00.1
	rm -rf "$sys"
	mkdir -p "$device"
	echo "pci:$modalias" >"$device/modalias"
	echo 0x1af4 >"$device/vendor"
	echo 0x1041 >"$device/device"
	echo 0x020000 >"$device/class"
	: >"$device/config"
	[ "$running" = "$1" ] || ln -s "$1" "$modules/$running"
	cp /src/scripts/libvirt-choice.py "$root/tmp/"
	VVP_SYS=$sys in_clean python3 /tmp/libvirt-choice.py 0x65 0 1
	rm "$root/tmp/libvirt-choice.py"
	[ "$running" = "$1" ] || rm "$modules/$running"
	rm -r "$sys"
}
