#!/usr/bin/env bash
# format-spec/golden/make.sh [TARGET]: writes the golden repositories of formats 2 and 3 anew, with the binaries that are built.
#
# Three days of a three-host cluster with an engine of each compression, and beside them tables by other options and by
# RocksDB 7.8, are backed up with sorted runs into a repository that is encrypted and one that is not; all is checked.
# expected/sorted is made from the folders that were backed up, by listing.py, and compared with what esker restores. With
# TARGET everything is written there instead. plain, encrypted, expected/*.txt and secrets are of format 1 and older than
# this script; they are kept as they are.
#
# Needs `cargo build --release --workspace --all-targets` (or ESKER_BINARY, ESKER_WORKLOAD), Python 3.11, and root.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")" && pwd)
target=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)
release=${CARGO_TARGET_DIR:-$HOME/.cache/esker/target}/release
esker=${ESKER_BINARY:-$release/esker}
workload=${ESKER_WORKLOAD:-$release/esker-workload}
tables=$here/../../crates/esker-sst/tests/golden
hosts=(host0 host1 host2)
days=(day00 day01 day02)
[ "$(id -u)" -eq 0 ] || { echo "make.sh: must be run as root, whose files expected/ lists" >&2; exit 1; }
for tool in "$esker" "$workload"; do
    [ -x "$tool" ] || { echo "make.sh: $tool is missing: cargo build --release --workspace --all-targets" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ESKER_TEST_CHEAP_KEYS=1 ESKER_CACHE_DIR=$work/cache
unset ESKER_REPO ESKER_PASSPHRASE ESKER_NEW_PASSPHRASE

# engines COMPRESSION FORMAT_VERSION FOLDER SEED: an engine on each host, on each day, below a data path of its own.
engines() {
    local day host
    "$workload" cluster --hosts ${#hosts[@]} --spaces 1 --entries 300 --partitions 2 --days 2 \
        --compression "$1" --format-version "$2" --seed "$4" --out "$work/$1" >>"$work/log"
    for day in "${days[@]}"; do
        for host in "${hosts[@]}"; do
            mkdir -p "$work/days/$day/$host"
            cp -a "$work/$1/$day/$host/data0" "$work/days/$day/$host/$3"
        done
    done
}
engines lz4 5 data0 1
engines snappy 6 data1 2
engines none 4 data2 3

# Tables that no engine of today writes: every checksum, old formats, keys in descending order, timestamps, padding.
for day in "${days[@]}"; do
    number=900000
    for table in "$tables"/{rest,blocks}_*.sst "$tables"/fv*.sst; do
        number=$((number + 1))
        cp "$table" "$work/days/$day/host2/data0/nebula/1/checkpoints/$day/data/$number.sst"
    done
done

# back_up_all REPO SECRET...: a repository with its whole history.
back_up_all() {
    local repo=$1 day host arguments
    shift
    run() { "$esker" --repo "$repo" --quiet "$@" >>"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; return 1; }; }
    for day in "${days[@]}"; do
        arguments=()
        for host in "${hosts[@]}"; do arguments+=(--host "$host=$work/days/$day/$host"); done
        run "$@" backup "${arguments[@]}" --label "$day"
    done
    run "$@" fsck --level engine
}
small=(--chunk-min 1024 --chunk-avg 4096 --chunk-max 16384 --pack-size 65536)
secret=(--passphrase-file "$here/secrets/passphrase.txt")

made=$work/made
mkdir -p "$made/expected/sorted"
"$esker" --quiet --repo "$made/sorted-plain" init --no-encryption "${small[@]}" >>"$work/log" 2>&1
back_up_all "$made/sorted-plain"
"$esker" --quiet --repo "$made/sorted-encrypted" "${secret[@]}" init "${small[@]}" >>"$work/log" 2>&1
back_up_all "$made/sorted-encrypted" "${secret[@]}"

for day in "${days[@]}"; do
    python3 "$here/listing.py" "$work/days/$day" >"$made/expected/sorted/$day.txt"
    for repo in sorted-plain sorted-encrypted; do
        arguments=()
        [ "$repo" = sorted-plain ] || arguments=("${secret[@]}")
        "$esker" --quiet --repo "$made/$repo" "${arguments[@]}" restore "$day" --target "$work/restored" >>"$work/log" 2>&1
        python3 "$here/listing.py" "$work/restored" | diff "$made/expected/sorted/$day.txt" - ||
            { echo "make.sh: $repo: esker restores $day otherwise than it was" >&2; exit 1; }
        rm -rf "$work/restored"
    done
done

# Many days of one engine, of which the last three stay: a prune leaves sparse forms of the runs before.
"$workload" cluster --hosts 1 --spaces 1 --entries 600 --partitions 2 --days 20 --seed 7 --out "$work/sparse" >>"$work/log"
kept=(day18 day19 day20)
mkdir -p "$made/expected/sparse"
for repo in sparse-plain sparse-encrypted; do
    arguments=(--repo "$made/$repo")
    [ "$repo" = sparse-plain ] || arguments+=("${secret[@]}")
    run() { "$esker" --quiet "${arguments[@]}" "$@" >>"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; return 1; }; }
    if [ "$repo" = sparse-plain ]; then run init --no-encryption "${small[@]}"; else run init "${small[@]}"; fi
    for day in "$work"/sparse/day*; do
        run backup --host "host0=$day/host0" --label "$(basename "$day")" --reread-share 0
    done
    run forget --keep-last ${#kept[@]}
    "$esker" "${arguments[@]}" prune --repack-percent 5 --json >"$work/pruned" 2>>"$work/log"
    grep -q '"sparse_runs":[1-9]' "$work/pruned" || { echo "make.sh: $repo: the prune made no sparse form" >&2; exit 1; }
    run fsck --level engine
    for day in "${kept[@]}"; do
        mkdir -p "$work/days/sparse-$day"
        [ -e "$work/days/sparse-$day/host0" ] || cp -a "$work/sparse/$day/host0" "$work/days/sparse-$day/"
        python3 "$here/listing.py" "$work/days/sparse-$day" >"$made/expected/sparse/$day.txt"
        run restore "$day" --target "$work/restored"
        python3 "$here/listing.py" "$work/restored" | diff "$made/expected/sparse/$day.txt" - ||
            { echo "make.sh: $repo: esker restores $day otherwise than it was" >&2; exit 1; }
        rm -rf "$work/restored"
    done
done

mkdir -p "$target/expected"
for part in sorted-plain sorted-encrypted expected/sorted sparse-plain sparse-encrypted expected/sparse; do
    rm -rf "${target:?}/$part"
    cp -r "$made/$part" "$target/$part"
    chmod -R u+w,go-w,a+rX "$target/$part"
    echo "$part: $(find "$target/$part" -type f | wc -l) files, $(du -sb --apparent-size "$target/$part" | cut -f1) bytes"
done
