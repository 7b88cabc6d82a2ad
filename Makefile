# SPDX-License-Identifier: GPL-2.0
# 'make help' says what there is.

KDIR ?= /lib/modules/$(shell uname -r)/build

# Where the kernel loads signed modules only: SIGN_KEY=KEY SIGN_CERT=CERTIFICATE, or
# SIGN=later if something else signs.
export SIGN SIGN_KEY SIGN_CERT VVP_KERNEL_SERIES

.PHONY: kernel-is-fit module modules_install samples clean setup setup-demo demo check \
	check-quick check-series check-debug check-all matrix setup-debug bench deb docs cache \
	cache-prune distclean conformance fuzz torture proof vfio-bench help

module: kernel-is-fit
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules
ifneq ($(SIGN_KEY),)
	scripts/sign-module.sh $(KDIR) virtio_vfio_pci_rs.ko
endif

# What a compiler would say in many lines, or the loader after all the work.
kernel-is-fit:
	@scripts/check-kernel.sh $(KDIR)

modules_install: module
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install

# Built beside the module, never installed.
samples: kernel-is-fit
	$(MAKE) -C $(KDIR) M=$(CURDIR) VVP_SAMPLES=m modules

clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) clean

# Everything below needs nothing but the package registries, and root or a user who may
# create user namespaces. It touches nothing outside the cache directory.
setup:
	@scripts/setup.sh

# A kernel that looks for its own faults: KASAN, lockdep, kmemleak.
setup-debug: setup
	@scripts/kernel.sh build debug
	@scripts/module.sh build debug

setup-demo:
	@scripts/setup.sh demo

demo: setup-demo
	@scripts/selftests.sh run demo

check: setup
	@scripts/selftests.sh run check

check-quick: setup
	@scripts/selftests.sh run check --quick

check-debug: setup-debug
	@scripts/selftests.sh run check --stage debug

check-all: setup-debug
	@scripts/kernel.sh build arm64
	@scripts/module.sh build arm64
	@scripts/selftests.sh run check --all
	@scripts/selftests.sh record
	@for series in $$(grep -v '^#' scripts/kernel-series | tail -n +2); do \
		$(MAKE) --no-print-directory check-series VVP_KERNEL_SERIES=$$series || exit; \
	done
	@$(MAKE) --no-print-directory matrix

# What the kernel makes a difference to, on another series than the newest.
SERIES_STAGES = l1 modest wide other large no-admin sample transitional blk stock type1

check-series: setup
	@scripts/selftests.sh run check $(SERIES_STAGES:%=--stage %)

# Of the records that the runs above have left.
matrix:
	@scripts/selftests.sh run matrix --out /src/Documentation/support-matrix.rst

# The report that is kept in Documentation is made anew.
bench: setup
	@scripts/benchmark.sh Documentation/performance

# What the conformance suite says of four drivers, for Documentation/conformance.rst.
conformance: setup
	@scripts/conformance.sh Documentation/conformance

# What is run is counted, and what is learnt is kept in the cache for the next time.
fuzz:
	@scripts/toolroot.sh build
	@scripts/fuzz.sh run $(or $(TIME),10m) $(TARGETS)

# Anything in any order; on the debug kernel, if 'scripts/kernel.sh build debug' has made it.
torture: setup
	@scripts/torture.sh run $(or $(TIME),10m) $(SEED)

# Of what the two above have counted.
proof:
	@scripts/selftests.sh run proof --out /src/Documentation/proof.rst

# The bench alone, as static programs. In the cache; OUT=DIR copies them there.
vfio-bench:
	@scripts/vfio-bench.sh build $(OUT)

# In the cache; OUT=DIR copies them there.
deb:
	@scripts/packages.sh build $(OUT)

cache:
	@scripts/cache.sh list

cache-prune:
	@scripts/cache.sh prune

distclean: clean
	@scripts/cache.sh prune --all

# The documentation, with warnings as errors.
docs:
	@scripts/toolroot.sh build
	@scripts/docs.sh build

help:
	@echo 'make                  build the module for the running kernel, or for KDIR=<kernel build directory>'
	@echo '                      (for a kernel of Debian: make KDIR=$$(scripts/rust-metadata.sh))'
	@echo 'make modules_install  install it'
	@echo 'make samples          build the module and the sample driver'
	@echo 'make demo             live-migrate a guest that owns a virtio VF, on this machine'
	@echo 'make check            run the tests that fit into three quarters of an hour'
	@echo 'make check-quick      run some of each kind, within five minutes'
	@echo 'make check-debug      run the tests of this driver on a kernel with KASAN, lockdep and kmemleak'
	@echo 'make check-all        run all tests, and those of the kernel on each series in scripts/kernel-series'
	@echo 'make check-series     run those for one series: VVP_KERNEL_SERIES=7.2'
	@echo 'make matrix           make Documentation/support-matrix.rst of what the last runs of tests found'
	@echo 'make bench            measure the driver beside the in-tree one, for Documentation/performance'
	@echo 'make conformance      run the VFIO conformance suite on four drivers, for Documentation/conformance'
	@echo 'make fuzz             fuzz everything that parses, for TIME=10m; TARGETS="..." chooses some'
	@echo 'make torture          do anything with the driver in any order, for TIME=10m; SEED=N repeats a run'
	@echo 'make proof            make Documentation/proof.rst of what fuzzing and torture have counted'
	@echo 'make vfio-bench       build the bench alone, as static programs; OUT=DIR copies them there'
	@echo 'make deb              build Debian packages of module (DKMS) and tools; OUT=DIR copies them there'
	@echo 'make docs             build the documentation as HTML'
	@echo 'make setup            fetch and build what demo and check need, and stop there'
	@echo 'make clean            remove what the first three made'
	@echo 'make cache            list what the cache has, and what needs it'
	@echo 'make cache-prune      remove from it what no tree needs any more'
	@echo 'make distclean        remove all of it'
	@echo
	@echo 'All of them from make demo on keep what is slow to make in $${VVP_CACHE:-~/.cache/virtio-vfio-pci-rs}.'
