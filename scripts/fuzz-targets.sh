#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds and runs the fuzz targets, inside the toolroot (see Documentation/fuzzing.rst).
#
#   fuzz-targets.sh build                    with the instrumentation that libFuzzer wants
#   fuzz-targets.sh seeds                    a first corpus, into the cache
#   fuzz-targets.sh smoke                    a fixed number of executions each; prints KTAP
#   fuzz-targets.sh run SECONDS [TARGET...]  in turn until the time is over, and count
#   fuzz-targets.sh minimize [TARGET...]     what covers most of the corpus, into the tree
#   fuzz-targets.sh coverage                 what the corpus reaches, as JSON

set -euo pipefail

triple=x86_64-unknown-linux-gnu
out=/products/fuzz
programs=$out/$triple/release
# Shared by all trees: what has been learnt stays.
learnt=/cache/fuzz
# One line for each run that was counted and not yet recorded.
counts=$out/counts
# A target's turn at most, in seconds.
longest=60
# Files of each corpus in the tree.
files=48

# The names, out of the manifest.
all=($(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' /src/fuzz/Cargo.toml))

# How long an input may be: longer ones say nothing more.
length_of() {
	case $1 in
	vfmig_readers | control_socket | vfio_user | parts_delta) echo 2048 ;;
	stream_loader | stream_damage | device_parts) echo 1024 ;;
	*) echo 512 ;;
	esac
}

# How many executions take a few seconds.
few() {
	case $1 in
	stream_loader | stream_damage | device_parts | parts_delta) echo 200000 ;;
	vfmig_readers | control_socket) echo 20000 ;;
	*) echo 2000 ;;
	esac
}

# As cargo-fuzz has it, but for the sanitizers, which a stable compiler does not have.
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"

# cargo_with DIRECTORY FLAGS COMMAND ARGUMENT...
cargo_with() {
	local dir=$1 flags=$2 command=$3
	shift 3
	CARGO_TARGET_DIR=$dir RUSTFLAGS=$flags \
		cargo "$command" --locked --release --manifest-path /src/fuzz/Cargo.toml --target $triple "$@"
}

build() { cargo_with $out "$flags" build --bins; }

# What a fuzzer would take long to find. Without its instrumentation, which only targets have
# the other half of.
seeds() { LLVM_PROFILE_FILE=/dev/null cargo_with $out/coverage -Cinstrument-coverage run --example seeds $learnt; }

# fuzz TARGET LOG ARGUMENT...: one run. Sets executed.
fuzz() {
	local target=$1 log=$2 rc=0
	shift 2
	mkdir -p "$out/artifacts/$target"
	# Nothing that a target makes is of use later.
	"$programs/$target" -print_final_stats=1 -timeout=300 -rss_limit_mb=4096 -max_len="$(length_of "$target")" \
		-artifact_prefix="$out/artifacts/$target/" "$@" >"$log" 2>&1 || rc=$?
	executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	executed=${executed:-0}
	return $rc
}

smoke() {
	local work number=0 failed=0 target log
	work=$(mktemp -d)
	build >"$work/build" 2>&1 || { cat "$work/build"; echo "Bail out! the targets cannot be built"; exit 1; }
	echo "TAP version 13"
	echo "1..${#all[@]}"
	for target in "${all[@]}"; do
		number=$((number + 1))
		mkdir "$work/$target"
		log=$work/$target.log
		if fuzz "$target" "$log" -seed=1 -runs="$(few "$target")" "$work/$target" "/src/fuzz/corpus/$target" &&
			[ "$executed" -ge "$(few "$target")" ]; then
			echo "# $executed executions"
			echo "ok $number fuzz.$target"
		else
			failed=1
			grep -aE 'panicked|^assertion|ERROR: libFuzzer|Test unit written' -A 2 "$log" | sed 's/^/# /' || :
			tail -n 3 "$log" | sed 's/^/# /'
			echo "not ok $number fuzz.$target"
		fi
	done
	rm -r "$work"
	exit $failed
}

run() {
	local end=$((SECONDS + $1)) seconds=$1 turn failed=0 target log started
	shift
	[ $# -gt 0 ] || set -- "${all[@]}"
	turn=$((seconds / $#))
	turn=$((turn > longest ? longest : turn > 0 ? turn : 1))
	log=$(mktemp)
	while [ $SECONDS -lt $end ]; do
		for target in "$@"; do
			[ $SECONDS -lt $end ] || break
			mkdir -p "$learnt/$target" "/src/fuzz/corpus/$target"
			started=$SECONDS
			if ! fuzz "$target" "$log" -max_total_time=$((end - SECONDS < turn ? end - SECONDS : turn)) \
				"$learnt/$target" "/src/fuzz/corpus/$target"; then
				failed=1
				cp "$log" "$out/artifacts/$target/log.$(date +%s)"
				grep -aE 'panicked|^assertion|ERROR: libFuzzer|Test unit written' -A 2 "$log" || tail -n 5 "$log"
			fi
			printf '%s\t%s\t%s\t%s\t%s\n' "$target" "$executed" $((SECONDS - started)) \
				"$(date -u +%F)" "$(cat "$out/revision" 2>/dev/null || echo unknown)" >>"$counts"
			echo "$target: $executed executions in $((SECONDS - started)) s, $(sed -n 's/.*\(cov: [0-9]*\).*/\1/p' "$log" | tail -n 1)"
		done
	done
	rm "$log"
	return $failed
}

# Of the files that reach together what the whole corpus reaches, those that came first: they
# add most. What once failed stays.
minimize() {
	local target work
	[ $# -gt 0 ] || set -- "${all[@]}"
	for target in "$@"; do
		work=$(mktemp -d)
		mkdir -p "$learnt/$target" "/src/fuzz/corpus/$target"
		"$programs/$target" -set_cover_merge=1 -max_len="$(length_of "$target")" "$work" \
			"/src/fuzz/corpus/$target" "$learnt/$target" >/dev/null 2>&1
		find "/src/fuzz/corpus/$target" -type f ! -name 'regression-*' -delete
		ls -tr "$work" | sed -n "1,${files}p" | (cd "$work" && xargs -r cp -t "/src/fuzz/corpus/$target")
		rm -r "$work"
		echo "$target: $(ls "/src/fuzz/corpus/$target" | wc -l) files"
	done
}

# Which lines of which files a target is about.
subject_of() {
	case $1 in
	stream_loader | stream_damage) echo rust/logic/{load,load_error,identity,record,seal,parts,features}.rs ;;
	device_parts) echo rust/logic/{parts,features}.rs ;;
	parts_delta) echo rust/logic/{delta,parts}.rs ;;
	admin_commands) echo bench/src/virtio/admin/{mod,commands,legacy,objects,status}.rs ;;
	descriptor_chains) echo bench/src/virtio/{chain,queue}.rs bench/src/virtio/blk/request.rs bench/src/virtio/net/control.rs ;;
	control_socket) echo bench/src/control.rs bench/src/virtio/control.rs ;;
	vfio_user) echo bench/src/server.rs bench/src/memory.rs bench/src/pci/{endpoint,config_space,interrupts,sriov}.rs ;;
	vfmig_readers) echo tools/vfmig/src/{inspect,diff,timeline}.rs tools/vfmig/src/stream/{walk,contents,meaning,names,features}.rs ;;
	logic_and_bench) echo rust/logic/delta.rs bench/src/virtio/parts/{codec,common,extra,order}.rs bench/src/virtio/net/state.rs ;;
	*) echo "no subject: $1" >&2; return 1 ;;
	esac
}

coverage() {
	local target work=$out/coverage
	# libFuzzer itself is as it was.
	local built=($out/$triple/release/build/libfuzzer-sys-*/out/libfuzzer.a)
	[ ! -e "${built[0]}" ] || export CUSTOM_LIBFUZZER_PATH=${built[0]}
	cargo_with $work -Cinstrument-coverage build --bins >&2
	for target in "${all[@]}"; do
		mkdir -p "$learnt/$target"
		rm -f "$work/$target".profraw
		LLVM_PROFILE_FILE=$work/$target.profraw "$work/$triple/release/$target" -runs=0 -max_len=65536 \
			"$learnt/$target" "/src/fuzz/corpus/$target" >"$work/$target.log" 2>&1
		llvm-profdata merge -sparse "$work/$target.profraw" -o "$work/$target.profdata"
		llvm-cov export -summary-only -instr-profile "$work/$target.profdata" "$work/$triple/release/$target" \
			>"$work/$target.json" 2>"$work/$target.log"
	done
	for target in "${all[@]}"; do
		python3 - "$target" "$work/$target.json" $(subject_of "$target") <<-'END'
			import json, os, sys
			target, file, *subject = sys.argv[1:]
			names = {os.path.realpath("/src/" + name): name for name in subject}
			sums = {"lines": [0, 0], "regions": [0, 0]}
			found = set()
			for entry in json.load(open(file))["data"][0]["files"]:
			    name = names.get(os.path.realpath(entry["filename"]))
			    if name is None:
			        continue
			    found.add(name)
			    for kind, sum in sums.items():
			        sum[0] += entry["summary"][kind]["covered"]
			        sum[1] += entry["summary"][kind]["count"]
			missing = set(subject) - found
			if missing:
			    print(f"{target}: no coverage of {sorted(missing)}", file=sys.stderr)
			print(json.dumps({"target": target, "subject": subject} | {k: dict(zip(("covered", "all"), v)) for k, v in sums.items()}))
		END
	done
}

case ${1:-} in
build | seeds | smoke | coverage) "$1" ;;
run | minimize) "$@" ;;
*)
	echo "usage: fuzz-targets.sh build|seeds|smoke|run SECONDS|minimize|coverage" >&2
	exit 1
	;;
esac
