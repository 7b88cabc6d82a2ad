#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Installs, upgrades and removes the packages in a clean Debian root, inside the toolroot.
# Prints KTAP. The root's packages come from the mirror and are kept in /products/packages.

set -uo pipefail

work=/products/packages
log=$work/test.log
root=$work/root
repository=$work/repository
first=$(sed -n '1s/.*(\(.*\)).*/\1/p' /src/debian/changelog)
second=$first+upgrade1
name=virtio-vfio-pci-rs
module=virtio_vfio_pci_rs
# Of a virtio network function, as sysfs says it.
modalias=v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00

. /src/scripts/packages-root.sh

tests=(
	builds
	lint
	manual_pages
	licences
	clean_root
	install
	files
	programs
	service
	module_is_built
	found_by_alias
	found_by_libvirt
	beside_the_in_tree_driver
	other_kernels_are_passed_over
	upgrade
	removal
)

# none REGEX: what comes in must have no such line. (A command with ! before it does not
# end a shell that has set -e.)
none() {
	local found
	found=$(grep -E "$1") || return 0
	echo "not to be there: $found"
	return 1
}

series_of() { sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$1"; }

builds() {
	/src/scripts/packages-build.sh
	/src/scripts/packages-build.sh "$second"
	ls -l "$work/$first" "$work/$second"
}

lint() { lintian --allow-root --fail-on error --tag-display-limit 0 "$work/$first"/*.changes; }

manual_pages() {
	local dir=$work/manual page
	rm -rf "$dir"
	dpkg-deb -x "$work/$first/${name}-tools_${first}_amd64.deb" "$dir"
	for page in "$dir"/usr/share/man/man1/*.gz; do
		zcat "$page" | mandoc -T lint -W error
		# Bold letters are struck twice.
		zcat "$page" | mandoc -T ascii | sed 's/.\x08//g' | grep '^NAME' >/dev/null
	done
	ls "$dir/usr/share/man/man1"
	rm -r "$dir"
}

# Crates that are under Apache-2.0 alone: debian/copyright names them.
apache_only='^(iommufd-bindings|iommufd-ioctls|kvm-bindings|vfio_user) '

# What is linked should go with GPL-2.0: Apache-2.0 alone does not.
licences() {
	local crates
	crates=$(dpkg-deb --fsys-tarfile "$work/$first/${name}-tools_${first}_amd64.deb" |
		tar -xO --wildcards './usr/share/doc/*/crates*' | { zcat -f; })
	echo "$crates" | sed 's/^[^ ]* [^ ]* //' | sort | uniq -c
	[ "$(wc -l <<<"$crates")" -gt 20 ]
	grep -oE "$apache_only" <<<"$crates" | while read -r crate; do
		grep -w -- "$crate" /src/debian/copyright >/dev/null || { echo "not in debian/copyright: $crate"; exit 1; }
	done
	# Those that say nothing, or what has not been looked at, are not to be there either.
	grep -vE "$apache_only|(MIT|BSD|Zlib|Unlicense|GPL-2\.0)" <<<"$crates" | none .
}

clean_root() {
	make_clean_root
	publish "$first"
	in_clean apt-get -q -o Acquire::Retries=3 update
	kernel=$(newest_kernel)
	echo "$kernel" >"$work/kernel"
	in_clean apt-get -qy --no-install-recommends install "linux-headers-$kernel" \
		"linux-modules-$kernel" "linux-source-$(series_of "$kernel")"
	in_clean depmod "$kernel"
	# What others leave in the file system is none of the packages' business.
	in_clean apt-get -qy --no-install-recommends install libvirt0 \
		$(in_clean apt-get -s --no-install-recommends install $name-dkms $name-tools | sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -v "^$name")
	unowned >"$work/before"
}

install() {
	in_clean apt-get -qy install --no-install-recommends $name-dkms $name-tools
}

files() {
	in_clean dpkg --verify $name-dkms $name-tools
	local file
	for file in usr/bin/{vfio-bench,vfio-bench-guest,vfio-mig-conformance,vvp-selftests,vfmig} "usr/src/$name-$first"/{dkms.conf,Kbuild,Makefile,rust/logic} \
		usr/share/man/man1/{vfio-bench,vfio-bench-guest,vfio-mig-conformance,vvp-selftests,vfmig}.1.gz \
		usr/share/bash-completion/completions/{vfio-bench,vfio-bench-guest,vfio-mig-conformance,vvp-selftests,vfmig} \
		usr/share/zsh/vendor-completions/_vfmig usr/share/fish/vendor_completions.d/vfmig.fish \
		usr/share/doc/$name-{dkms,tools}/{copyright,changelog.gz} usr/share/doc/$name-dkms/packages.rst.gz \
		usr/lib/systemd/system/$name@.service usr/libexec/$name/vvp-functions; do
		[ -e "$root/$file" ] || { echo "missing: $file"; return 1; }
	done
	# Installed means available; what acts on the machine is for its owner to put in place.
	in_clean dpkg -L $name-dkms $name-tools | none '^(/usr/lib|/etc|/lib)/(udev|modprobe\.d)/.'
}

programs() {
	in_clean vfmig --help
	in_clean vfio-bench --version
	in_clean vvp-selftests --list | grep round_trip >/dev/null
	in_clean vfio-mig-conformance --list | grep vfio >/dev/null
	# There is no bench here, which it says.
	{ in_clean vfio-bench-guest vf-up 2>&1 || :; } | grep '^vfio-bench-guest: '
	in_clean bash -c '. /usr/share/bash-completion/completions/vfio-bench; complete -p vfio-bench vfio-bench-guest vfio-mig-conformance'
}

service() {
	# Without the units that it names: none of them is there.
	in_clean systemd-analyze verify --man=no --recursive-errors=no "/usr/lib/systemd/system/$name@.service"
	in_clean udevadm verify --resolve-names=never /usr/share/doc/$name-tools/examples/60-$name.rules
	find "$root/etc/systemd" -name "$name@*" | none .
	in_clean systemctl enable "$name@0000:65:00.0.service"
	[ -L "$root/etc/systemd/system/multi-user.target.wants/$name@0000:65:00.0.service" ]
}

module_is_built() {
	local kernel file
	kernel=$(cat "$work/kernel")
	in_clean dkms status $name
	in_clean dkms status $name | grep "^$name/$first, $kernel, x86_64: installed"
	file=$(echo "$root/usr/lib/modules/$kernel/updates/dkms/$module.ko"*)
	modinfo "$file"
	[ "$(modinfo -F vermagic "$file" | cut -d' ' -f1)" = "$kernel" ]
	modinfo -F alias "$file" | grep '^vfio_pci:v00001AF4d00001041'
}

found_by_alias() {
	local kernel
	kernel=$(cat "$work/kernel")
	grep $module "$root/usr/lib/modules/$kernel/modules.alias"
	# And vfio_pci, which takes every function.
	in_clean modprobe -S "$kernel" -R "vfio_pci:$modalias" | grep -x $module
	# What the kernel asks for when a function appears has nothing to do with it.
	{ in_clean modprobe -S "$kernel" -R "pci:$modalias" || :; } | none "^$module\$"
}

found_by_libvirt() {
	[ "$(libvirt_choice "$(cat "$work/kernel")")" = $module ]
}

# Both drivers' aliases are equally specific; what follows from that is told.
beside_the_in_tree_driver() {
	local kernel peer dir found choice
	kernel=$(cat "$work/kernel")
	peer=${VVP_KERNEL:-$(ls -td /cache/kernel-test-* | head -n 1)}
	peer=$peer/drivers/vfio/pci/virtio/virtio-vfio-pci.ko
	[ -e "$peer" ]
	dir=$root/usr/lib/modules/$kernel/kernel/drivers/vfio/pci/virtio
	mkdir -p "$dir"
	cp "$peer" "$dir"
	depmod -b "$root/usr" "$kernel"
	grep -hE "^alias vfio_pci:v00001AF4d00001041" "$root/usr/lib/modules/$kernel/modules.alias"
	found=$(in_clean modprobe -S "$kernel" -R "vfio_pci:$modalias")
	choice=$(libvirt_choice "$kernel")
	rm -r "$dir"
	depmod -b "$root/usr" "$kernel"
	echo "report: both drivers there: modprobe's order is $(echo $found); libvirt 11.3 takes $choice"
	grep -qx $module <<<"$found"
	grep -qx virtio_vfio_pci <<<"$found"
}

# What installs a kernel runs dkms, and fails if that fails.
other_kernels_are_passed_over() {
	local kernel
	kernel=$(cat "$work/kernel")
	# Another series; no Rust; Rust, and nothing that a module in Rust can be built with.
	pretend_kernel 6.12.9-other CONFIG_RUST=y CONFIG_VFIO_PCI_CORE=m CONFIG_VIRTIO_PCI=m
	pretend_kernel 7.3.90-norust CONFIG_VFIO_PCI_CORE=m CONFIG_VIRTIO_PCI=m
	pretend_kernel 7.3.91-nometa CONFIG_RUST=y CONFIG_VFIO_PCI_CORE=m CONFIG_VIRTIO_PCI=m
	# One that seems to have everything, and then does not compile.
	cp -a "$root/usr/src/linux-headers-$kernel" "$root/usr/src/linux-headers-7.3.92-broken"
	mkdir -p "$root/usr/lib/modules/7.3.92-broken" "$root/usr/src/linux-headers-7.3.92-broken/rust"
	ln -s /usr/src/linux-headers-7.3.92-broken "$root/usr/lib/modules/7.3.92-broken/build"
	echo broken >"$root/usr/src/linux-headers-7.3.92-broken/rust/libkernel.rmeta"
	local release others="6.12.9-other 7.3.90-norust 7.3.91-nometa 7.3.92-broken"
	for release in $others; do
		echo "-- $release"
		in_clean run-parts --exit-on-error --arg="$release" --arg="/boot/vmlinuz-$release" /etc/kernel/postinst.d
	done
	# All of them at once, when the package itself is installed.
	in_clean dpkg-reconfigure $name-dkms
	in_clean dkms status $name
	[ "$(in_clean dkms status $name)" = "$name/$first, $kernel, x86_64: installed" ]
	for release in $others; do
		rm -r "$root/usr/lib/modules/$release"
	done
	rm -r "$root"/usr/src/linux-headers-7.3.92-broken
}

upgrade() {
	publish "$second"
	in_clean apt-get -q update
	in_clean apt-get -qy --no-install-recommends --only-upgrade install $name-dkms $name-tools
	in_clean dkms status $name
	[ "$(in_clean dkms status $name)" = "$name/$second, $(cat "$work/kernel"), x86_64: installed" ]
	[ ! -e "$root/usr/src/$name-$first" ]
	[ ! -e "$root/var/lib/dkms/$name/$first" ]
	# What its owner had set is as it was.
	[ -L "$root/etc/systemd/system/multi-user.target.wants/$name@0000:65:00.0.service" ]
}

removal() {
	in_clean apt-get -qy purge $name-dkms $name-tools
	in_clean dpkg -l | none $name
	unowned >"$work/after"
	# Not what other packages keep; dkms has keys for all modules in its directory.
	comm -13 "$work/before" "$work/after" >"$work/left"
	sed -E '/^\/var\/(log|cache\/(apt|debconf|ldconfig)|lib\/(apt|dpkg|systemd|dkms))(\/|$)/d' "$work/left" | none .
	find "$root" -xdev \( -path "$root/packages" -o -path '*/var/lib/apt/lists' -o -path '*/var/cache/apt' \) -prune \
		-o -iname '*virtio[-_]vfio[-_]pci[-_]rs*' -print | none .
}

# run NAME: in a shell of its own, where the first failure ends the test.
run() {
	(
		set -e
		"$1"
	) >"$log" 2>&1 </dev/null
}

mkdir -p "$work"
echo "KTAP version 1"
echo "1..${#tests[@]}"
number=0
failed=0
for test in "${tests[@]}"; do
	number=$((number + 1))
	start=$SECONDS
	run "$test"
	result=$?
	sed -n 's/^report: /# &/p' "$log"
	if [ $result = 0 ]; then
		echo "ok $number packages.$test"
	else
		failed=1
		tail -n 25 "$log" | sed 's/^/# /'
		echo "# $((SECONDS - start)).0 s"
		grep -a . "$log" | tail -n 2 | sed 's/^/# /'
		echo "not ok $number packages.$test"
		case $test in
		builds | clean_root | install)
			echo "Bail out! nothing else can be tried without $test"
			break
			;;
		esac
	fi
	cp "$log" "$work/test-$test.log"
done
drop_clean_root
exit $failed
