#!/usr/bin/env bash
# Runs every fuzz target for so many seconds; fails if one crashes, hangs or takes too much memory.
#
#   ./scripts/fuzz.sh 60               all targets, a minute each
#   ./scripts/fuzz.sh 600 peer_frames  only these
#   ./scripts/fuzz.sh --list           the targets
#
# A target is a file in fuzz/fuzz_targets and four lines in fuzz/Cargo.toml. Stable Rust is enough: the coverage that
# libFuzzer is guided by needs no more. What a run has found out is kept in fuzz/corpus for the next one; an input that
# made a target fail is kept in fuzz/artifacts, and named. To see it fail again: give its path to the program.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

targets=()
for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done

case ${1:-} in
  -h | --help) print_help; exit ;;
  --list) printf '%s\n' "${targets[@]}"; exit ;;
esac
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "how many seconds? Not ${seconds@Q}"
(($# > 1)) && targets=("${@:2}")
command -v cargo >/dev/null || die "cargo is missing: install Rust first"
command -v c++ >/dev/null || die "a C++ compiler is missing; it builds libFuzzer (Debian package: g++)"

# The versions are those of the package itself.
cp Cargo.lock fuzz/Cargo.lock
host=$(rustc -vV | sed -n 's/^host: //p')
directory=${CARGO_TARGET_DIR:-fuzz/target}
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing)
# A target is named explicitly so that programs which run while building are not instrumented.
RUSTFLAGS="${RUSTFLAGS:-} ${coverage[*]}" cargo build --manifest-path fuzz/Cargo.toml --target-dir "$directory" \
  --target "$host" --release --bins

failed=()
for target in "${targets[@]}"; do
  program=$directory/$host/release/$target
  [[ -x $program ]] || die "there is no target $target"
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  echo "fuzz.sh: $target for $seconds s"
  log=$(mktemp)
  status=0
  "$program" "fuzz/corpus/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" >"$log" 2>&1 || status=$?
  if ((status == 0)); then
    grep -E 'Done|number_of_executed_units|peak_rss_mb' "$log" || true
  else
    tail -n 60 "$log" >&2
    failed+=("$target")
  fi
  rm -f "$log"
done
((${#failed[@]} == 0)) || die "failed: ${failed[*]}"
