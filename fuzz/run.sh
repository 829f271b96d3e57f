#!/usr/bin/env bash
# fuzz/run.sh SECONDS [TARGET...]: builds the fuzz targets, seeds each with the golden vectors of format-spec and runs it
# for SECONDS. One line a target; exit 1 on a finding, 2 if something is missing.
#
# Works on stable: libFuzzer comes with libfuzzer-sys as source, and the coverage counters it needs are an LLVM pass that
# `-C passes` reaches. No sanitizer: the crates under test have no unsafe code. Nothing is installed.
set -euo pipefail

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
here=$(cd "$(dirname "$0")" && pwd)
need() {
    command -v "$1" >/dev/null || { echo "fuzz/run.sh: $1 is missing: $2" >&2; exit 2; }
}
need cargo "install Rust"
need c++ "install a C++ compiler (it compiles libFuzzer)"
need python3 "install Python 3 (it turns the golden vectors into seeds)"

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/esker/target}-fuzz"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
# With --target, build scripts and procedural macros are left without counters.
cargo build --quiet --release --locked --manifest-path "$here/Cargo.toml" --target "$host" --bins

python3 "$here/seeds.py" "$here/../format-spec/vectors" "$CARGO_TARGET_DIR/corpus"
targets=("$@")
if [ $# -eq 0 ]; then
    for file in "$here"/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
found=0
for target in "${targets[@]}"; do
    corpus=$CARGO_TARGET_DIR/corpus/$target findings=$CARGO_TARGET_DIR/findings/$target log=$CARGO_TARGET_DIR/$target.log
    mkdir -p "$corpus" "$findings"
    if "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
        -artifact_prefix="$findings/" "$corpus" >"$log" 2>&1; then
        outcome=clean
    else
        found=1
        outcome="FINDING, see $findings and $log"
    fi
    runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p; s/^stat::number_of_executed_units: *//p' "$log" | tail -1)
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1 || true)
    printf '%-14s %10s runs  %-10s %s\n' "$target" "${runs:-?}" "${coverage:-cov: ?}" "$outcome"
done
exit "$found"
