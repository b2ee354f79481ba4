#!/usr/bin/env bash
# Times `spacktainers sif` against its peers on the same image in one run, and prints medians, sizes, peak memory and
# ratios. A peer that is not there is SKIPPED, with the reason.
#
#   benches/peers/sif.sh [--spacktainers FILE] [--layout DIR] [--runs N]
#
#   --spacktainers  the program to judge          $SPACKTAINERS, else target/release/spacktainers
#   --layout        OCI layout with an image `latest`: real trees of 400 MB and more tell most
#                                                 else one made of this machine's /usr/lib/python3*, in one layer
#   --runs          times each thing is run       3
#
# Peers:
#   apptainer   `apptainer pull` of the image from a docker-registry on 127.0.0.1 that is started here; $APPTAINER names
#               the command, which has to see --share (a folder that it and this script know by the same path)
#   pipe        `gzip -dc LAYER | tar2sqfs -c zstd -X level=3`, for images of one layer
set -euo pipefail
export LC_ALL=C
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${SPACKTAINERS:-$root/target/release/spacktainers}
apptainer=${APPTAINER:-apptainer}
layout='' runs=3 share=''
while [ $# -gt 0 ]; do
    case $1 in
    --spacktainers) program=$2 ;;
    --layout) layout=$2 ;;
    --runs) runs=$2 ;;
    --share) share=$2 ;;
    *) sed -n '2,18s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift 2
done
work=$(mktemp -d ${share:+-p "$share"})
registry=''
trap '[ -z "$registry" ] || kill "$registry"; rm -rf "$work"' EXIT
has() { command -v "$1" >/dev/null 2>&1; }
skip() { printf '%-28s SKIPPED: %s\n' "$1" "$2"; }

if [ -z "$layout" ]; then
    has umoci || { skip 'everything' 'no --layout, and no umoci to make one'; exit 0; }
    layout=$work/layout
    tar -C / -cf "$work/layer.tar" $(cd / && ls -d usr/lib/python3*)
    umoci init --layout "$layout" && umoci new --image "$layout:latest"
    umoci raw add-layer --image "$layout:latest" "$work/layer.tar"
    rm "$work/layer.tar"
fi

# measure ROW FILE COMMAND…: seconds, peak kilobytes and the size of the file that came of it.
measure() {
    local row=$1 file=$2 before after
    shift 2
    rm -f "$file"
    before=$EPOCHREALTIME
    /usr/bin/time -o "$work/time" -f '%M' "$@" >"$work/out" 2>&1 || { echo "'$row' failed:" >&2; tail -n 5 "$work/out" >&2; return 1; }
    after=$EPOCHREALTIME
    echo "${before/./} ${after/./} $(tail -n 1 "$work/time") $(stat -c %s "$file")" >>"$work/row.$row"
}
median() { [ -f "$work/row.$1" ] && awk '{print ($2 - $1) / 1e6}' "$work/row.$1" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
show() {
    local m
    m=$(median "$1") || return 0
    awk -v name="$2" -v m="$m" '{if ($3 > kb) kb = $3; size = $4} END {printf "%-28s %9.2f s %8.1f MB %7.0f MB\n", name, m, size / 1e6, kb / 1024}' "$work/row.$1"
}
ratio() {
    local a b
    a=$(median "$2") && b=$(median "$3") || return 0
    awk -v what="$1" -v a="$a" -v b="$b" -v goal="$4" 'BEGIN {printf "%-44s %7.2f   (%s)\n", what, a / b, goal}'
}

cat "$layout"/blobs/sha256/* >/dev/null # the disk is warm for everyone
for _ in $(seq "$runs"); do
    for compression in gzip zstd; do
        measure "$compression" "$work/$compression.sif" "$program" -q --cache "$work/cache" sif "oci:$layout:latest" \
            -o "$work/$compression.sif" --compression $compression
    done
done

layers=("$(find "$layout/blobs/sha256" -type f -size +1M -printf '%s %p\n' | sort -rn | cut -d' ' -f2- | head -n 2)")
if ! has tar2sqfs; then
    skip 'gzip -dc | tar2sqfs' 'there is no tar2sqfs'
elif [ "$(printf '%s\n' "${layers[@]}" | grep -c .)" != 1 ]; then
    skip 'gzip -dc | tar2sqfs' 'the image has several layers'
else
    for _ in $(seq "$runs"); do
        measure pipe "$work/pipe.sqfs" bash -c "gzip -dc '${layers[0]}' | tar2sqfs -q -f -c zstd -X level=3 '$work/pipe.sqfs'"
    done
fi

if ! has "$apptainer"; then
    skip 'apptainer pull' "there is no $apptainer: set APPTAINER"
elif ! has docker-registry || ! has skopeo; then
    skip 'apptainer pull' 'docker-registry and skopeo are needed as well'
else
    port=5850
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
        "$work/registry" "$port" >"$work/registry.yml"
    docker-registry serve "$work/registry.yml" >/dev/null 2>&1 &
    registry=$!
    for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.05; done
    skopeo copy -q --dest-tls-verify=false "oci:$layout:latest" "docker://127.0.0.1:$port/image:latest"
    measure apptainer "$work/apptainer.sif" "$apptainer" pull --no-https --disable-cache --force "$work/apptainer.sif" "docker://127.0.0.1:$port/image:latest"
    for _ in $(seq "$runs"); do
        for compression in gzip zstd; do
            rm -rf "$work/cache"
            measure "pull-$compression" "$work/$compression.sif" "$program" -q --cache "$work/cache" sif \
                "docker://127.0.0.1:$port/image:latest" -o "$work/$compression.sif" --compression $compression
        done
    done
fi

printf '\n%-28s %11s %11s %10s\n' '' 'median' 'file' 'peak'
show gzip 'spacktainers, gzip'
show zstd 'spacktainers, zstd'
show pull-gzip 'the same from a registry'
show pull-zstd 'zstd from a registry'
show pipe 'gzip -dc | tar2sqfs zstd'
show apptainer 'apptainer pull'
echo
ratio 'apptainer pull / spacktainers gzip' apptainer pull-gzip 'to be at least 3.5'
ratio 'apptainer pull / spacktainers zstd' apptainer pull-zstd 'to be at least 20'
ratio 'gzip -dc | tar2sqfs / spacktainers zstd' pipe zstd 'to be above 1'
