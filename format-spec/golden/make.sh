#!/usr/bin/env bash
# format-spec/golden/make.sh [TARGET]: writes the golden repositories anew, with the binaries that are built.
#
# Four days of a three-host cluster, and odd files beside it, are backed up into a repository that is encrypted and one
# that is not; the second day is forgotten, the first is held, all is checked. expected/ is made from the folders that
# were backed up, by listing.py, and compared with what esker restores. With TARGET everything is written there instead.
#
# Needs `cargo build --release --workspace --all-targets` (or ESKER_BINARY, ESKER_WORKLOAD), Python 3.11, and root, for
# files of other owners.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")" && pwd)
target=$(mkdir -p "${1:-$here}" && cd "${1:-$here}" && pwd)
release=${CARGO_TARGET_DIR:-$HOME/.cache/esker/target}/release
esker=${ESKER_BINARY:-$release/esker}
workload=${ESKER_WORKLOAD:-$release/esker-workload}
hosts=(host0 host1 host2)
[ "$(id -u)" -eq 0 ] || { echo "make.sh: must be run as root, for files of other owners" >&2; exit 1; }
for tool in "$esker" "$workload"; do
    [ -x "$tool" ] || { echo "make.sh: $tool is missing: cargo build --release --workspace --all-targets" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ESKER_TEST_CHEAP_KEYS=1 ESKER_CACHE_DIR=$work/cache
unset ESKER_REPO ESKER_PASSPHRASE ESKER_NEW_PASSPHRASE

"$workload" cluster --hosts ${#hosts[@]} --spaces 1 --entries 120 --partitions 2 --days 3 --out "$work/days" >"$work/log"

# Odd things, other on each day, on a host beside its engine and on a host inside the engine's folder.
odd() {
    local day=$1 odd=$work/days/day0$1/host0/odd
    mkdir -p "$odd/deep/er/empty folder" "$odd/none"
    : >"$odd/zero-length"
    printf 'day %s\n' "$day" >"$odd/with space"
    printf 'two\nlines\n' >"$odd/"$'new\nline'
    printf 'not UTF-8\n' >"$odd/"$'\xff\xfe'
    printf 'long\n' >"$odd/$(printf 'n%.0s' {1..200})"
    printf 'deep\n' >"$odd/deep/er/file"
    printf 'hidden, executable, of another owner\n' >"$odd/.hidden"
    chown 1234:5678 "$odd/.hidden"
    chmod 4750 "$odd/.hidden"
    chmod 0400 "$odd/with space"
    chmod 1777 "$odd/none"
    # Data, a hole, data, and a hole to the end; and a file that is nothing but a hole.
    truncate -s 1M "$odd/sparse"
    printf 'start %s' "$day" | dd of="$odd/sparse" conv=notrunc status=none
    printf 'middle' | dd of="$odd/sparse" bs=1 seek=524288 conv=notrunc status=none
    truncate -s 100000 "$odd/hole"
    # Several chunks, and most of them the same each day.
    python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(20000) + sys.argv[1].encode() * 9)' "$day" >"$odd/chunks"
    ln -s with\ space "$odd/link"
    ln -s ../../nowhere "$odd/dangling"
    ln -s "$(printf 't/%.0s' {1..200})" "$odd/long link"
    printf 'not of RocksDB\n' >"$work/days/day0$day/host1/data0/nebula/1/checkpoints/day0$day/data/README of an operator"
    # Before 1970, with nanoseconds; after 2038; folders last.
    touch -d '1969-12-31 23:59:58.123456789 UTC' "$odd/zero-length"
    touch -d '2100-01-01 UTC' "$odd/"$'\xff\xfe'
    touch -h -d '2001-02-03 04:05:06.7 UTC' "$odd/link"
    touch -d '2020-02-02 02:02:02 UTC' "$odd/deep/er" "$odd/none"
}
for day in 0 1 2 3; do odd "$day"; done

# back_up_all REPO SECRET...: a repository with its whole history.
back_up_all() {
    local repo=$1 day host arguments
    shift
    run() { "$esker" --repo "$repo" --quiet "$@" >>"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; return 1; }; }
    for day in 0 1 2 3; do
        arguments=()
        for host in "${hosts[@]}"; do arguments+=(--host "$host=$work/days/day0$day/$host"); done
        run "$@" backup "${arguments[@]}" --label "day0$day" --tag "day$day"
    done
    run "$@" forget day01
    run "$@" forget --hold day00
    run "$@" forget --add-tag kept day00
    run "$@" fsck --level engine
}
small=(--chunk-min 1024 --chunk-avg 4096 --chunk-max 16384 --pack-size 65536)

made=$work/made
mkdir -p "$made/expected" "$made/secrets"
printf 'golden\n' >"$made/secrets/passphrase.txt"
printf 'golden, the second\n' >"$made/secrets/second-passphrase.txt"
secret=(--passphrase-file "$made/secrets/passphrase.txt")

"$esker" --quiet --repo "$made/plain" init --no-encryption "${small[@]}" >>"$work/log" 2>&1
back_up_all "$made/plain"
"$esker" --quiet --repo "$made/encrypted" "${secret[@]}" init --key-label first "${small[@]}" >>"$work/log" 2>&1
"$esker" --quiet --repo "$made/encrypted" "${secret[@]}" key add --label second \
    --new-passphrase-file "$made/secrets/second-passphrase.txt" >>"$work/log" 2>&1
"$esker" --quiet --repo "$made/encrypted" "${secret[@]}" key add --label paper --recovery 2>>"$work/log" |
    grep '^ESKER-' >"$made/secrets/recovery-key.txt"
back_up_all "$made/encrypted" "${secret[@]}"

for day in day00 day02 day03; do
    python3 "$here/listing.py" "$work/days/$day" >"$made/expected/$day.txt"
    for repo in plain encrypted; do
        secret=()
        [ "$repo" = plain ] || secret=(--passphrase-file "$made/secrets/recovery-key.txt")
        "$esker" --quiet --repo "$made/$repo" "${secret[@]}" restore "$day" --target "$work/restored" >>"$work/log" 2>&1
        python3 "$here/listing.py" "$work/restored" | diff "$made/expected/$day.txt" - ||
            { echo "make.sh: $repo: esker restores $day otherwise than it was" >&2; exit 1; }
        rm -rf "$work/restored"
    done
done

for part in plain encrypted expected secrets; do
    rm -rf "${target:?}/$part"
    cp -r "$made/$part" "$target/$part"
done
chmod -R u+w,go-w,a+rX "$target/plain" "$target/encrypted"
echo "$(find "$target/plain" -type f | wc -l) objects in plain, $(find "$target/encrypted" -type f | wc -l) in encrypted," \
    "$(du -sb --apparent-size "$target" | cut -f1) bytes in all"
