#!/usr/bin/env bash
# Times `spacktainers build` against its peers, whole processes on the same packages in one run, and prints
# medians, peak memory and ratios. A peer that is not there is SKIPPED, with the reason.
#
#   benches/peers/run.sh [--spacktainers FILE] [--env DIR] [--cache DIR] [--key FILE] [--runs N]
#
#   --spacktainers  the program to judge                        $SPACKTAINERS, else target/release/spacktainers
#   --env           folder with spack.yaml and spack.lock       else the small one of $SPACKTAINERS_FIXTURES, else the demo's
#   --cache         build cache, layout v3, with its packages   likewise
#   --key           public key of the cache's signatures        likewise; without one, signatures are not checked
#   --runs          times each thing is run                     5
#
# Peers:
#   spack   `spack buildcache push --tag` of the same environment, by $SPACK; its configuration must know the
#           recipe repositories that the lock names. Cold: an empty registry. Warm: one that has everything.
#   floor   what nobody can avoid: `cat` of each archive, `sha256sum` of what is in it, upload by `curl`; one
#           archive after another, and by as many processes as there are cores.
#
# All go to one docker-registry on 127.0.0.1 that is started here. There is no base image on either side.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "$0")/../.." && pwd)
fixtures=${SPACKTAINERS_FIXTURES:-$root/../shared/fixtures}
program=${SPACKTAINERS:-$root/target/release/spacktainers}
runs=5 env='' cache='' key=''
while [ $# -gt 0 ]; do
    case $1 in
    --spacktainers) program=$2 ;;
    --env) env=$2 ;;
    --cache) cache=$2 ;;
    --key) key=$2 ;;
    --runs) runs=$2 ;;
    *) sed -n '2,20s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift 2
done
if [ -z "$env" ] && [ -z "$cache" ]; then
    if [ -d "$fixtures/envs/small" ]; then
        env=$fixtures/envs/small cache=$fixtures/caches/small-v3 key=$fixtures/caches/signing-key.pub
    else
        env=$root/demo/container_definitions/amd64/spike cache=$root/demo/cache key=$root/demo/keys/demo.pub
    fi
fi
[ -f "$env/spack.lock" ] || { echo "no spack.lock in '$env': give --env DIR and --cache DIR" >&2; exit 2; }
[ -d "$cache/v3" ] || { echo "'$cache' is no build cache of layout v3: give --cache DIR" >&2; exit 2; }
env=$(cd "$env" && pwd) cache=$(cd "$cache" && pwd)
[ -z "$key" ] || key=$(cd "$(dirname "$key")" && pwd)/$(basename "$key")

work=$(mktemp -d)
registry=''
stop_registry() {
    [ -z "$registry" ] || { kill "$registry" && wait "$registry" || true; } 2>/dev/null
    registry=''
}
trap 'stop_registry; rm -rf "$work"' EXIT

has() { command -v "$1" >/dev/null 2>&1; }
skip() { printf '%-34s SKIPPED: %s\n' "$1" "$2"; }

# --- the registry -----------------------------------------------------------------------------------------
for need in docker-registry curl gzip sha256sum; do
    has $need || { skip 'everything' "there is no $need on PATH"; exit 0; }
done
port=5800
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
END
empty_registry() {
    stop_registry
    rm -rf "$work/registry"
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    registry=$!
    for _ in $(seq 100); do
        curl -sf "http://127.0.0.1:$port/v2/" >/dev/null && return
        sleep 0.05
    done
    echo "the registry does not start:" >&2
    cat "$work/registry.log" >&2
    exit 1
}

# --- measuring --------------------------------------------------------------------------------------------
# measure ROW COMMAND…: one run; its seconds and peak kilobytes are added to the row.
measure() {
    local row=$1 before after
    shift
    before=$EPOCHREALTIME
    if [ -x /usr/bin/time ]; then
        /usr/bin/time -o "$work/time" -f '%M' "$@" >"$work/out" 2>&1 || { failed "$row"; return 1; }
    else
        "$@" >"$work/out" 2>&1 || { failed "$row"; return 1; }
        echo 0 >"$work/time"
    fi
    after=$EPOCHREALTIME
    echo "${before/./} ${after/./} $(tail -n 1 "$work/time")" >>"$work/row.$row"
}
failed() { echo "the run '$1' failed; the end of what it said:" >&2; tail -n 5 "$work/out" | sed 's/^/    /' >&2; }

# median ROW: in seconds; nothing if the row was not run.
median() {
    [ -f "$work/row.$1" ] || return 0
    awk '{print ($2 - $1) / 1e6}' "$work/row.$1" | sort -n | awk '{v[NR] = $1} END {printf "%.3f", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}
show() {
    local m
    m=$(median "$1")
    [ -n "$m" ] || return 0
    awk -v name="$2" -v m="$m" '{t = ($2 - $1) / 1e6; if (NR == 1 || t < lo) lo = t; if (t > hi) hi = t; if ($3 > kb) kb = $3}
        END {printf "%-34s %9.3f   %7.3f … %-7.3f %7s\n", name, m, lo, hi, kb ? sprintf("%.0f", kb / 1024) : "-"}' "$work/row.$1"
}
ratio() {
    local a b
    a=$(median "$2") b=$(median "$3")
    [ -n "$a" ] && [ -n "$b" ] || return 0
    awk -v what="$1" -v a="$a" -v b="$b" -v goal="$4" 'BEGIN {printf "%-56s %7.2f   (%s)\n", what, a / b, goal}'
}

# --- the packages: archives of the cache whose hash is in the lock ---------------------------------------------
archives=$work/archives
for manifest in "$cache"/v3/manifests/spec/*/*.spec.manifest.json; do
    hash=${manifest%.spec.manifest.json}
    grep -q "\"${hash##*-}\"" "$env/spack.lock" || continue
    sum=$(awk -F'"' '/"mediaType": *"application\/vnd.spack.install/ {t = 1} t && /"checksum":/ {print $4; exit}' "$manifest")
    echo "$cache/blobs/sha256/${sum:0:2}/$sum"
done >"$archives"
[ -s "$archives" ] || { echo "none of the lock's packages is in the cache" >&2; exit 2; }
xargs -a "$archives" cat >/dev/null # the disk is warm for everyone
echo "$(wc -l <"$archives") packages, $(xargs -a "$archives" cat | wc -c | awk '{printf "%.1f", $1 / 1e6}') MB compressed, $(xargs -a "$archives" gzip -dc <&- | wc -c | awk '{printf "%.1f", $1 / 1e6}') MB unpacked; $(nproc) cores; median of $runs"

# --- spacktainers -------------------------------------------------------------------------------------------
project=$work/project
fresh_project() {
    rm -rf "$project" "$work/local"
    mkdir -p "$project/container_definitions/amd64/bench"
    cp "$env/spack.yaml" "$env/spack.lock" "$project/container_definitions/amd64/bench/"
    chmod -R u+w "$project"
    {
        printf '[[mirror]]\nname = "bench"\nurl = "file://%s"\n' "$cache"
        if [ -n "$key" ]; then
            cp "$key" "$project/key.pub"
            printf 'keys = ["key.pub"]\n'
        else
            printf 'signed = false\n'
        fi
        printf '\n[arch.amd64]\nbase = "scratch"\n'
    } >"$project/spacktainers.toml"
}
# With no base there is no C library to be found, hence the last flag.
ours() {
    measure "$1" "$program" --project "$project" --cache "$work/local" -q \
        build bench --to "docker://127.0.0.1:$port/bench:ours" --allow-missing-libraries
}
if [ -x "$program" ]; then
    for _ in $(seq "$runs"); do
        fresh_project
        empty_registry
        ours first || break
        empty_registry
        ours cold || break
        ours warm || break
    done
else
    skip 'spacktainers build' "no program at $program"
fi

# --- spack --------------------------------------------------------------------------------------------------
spack_push() {
    measure "$1" "$SPACK" -C "$work/spack" -e "$work/env" buildcache push --unsigned --without-build-dependencies \
        --tag bench peers
}
prepare_spack() {
    mkdir -p "$work/spack"
    # The environment's own install root may be in use on this machine; another one serves as well.
    cat >"$work/spack/config.yaml" <<END
config:
  install_tree: {root: $work/store}
END
    cat >"$work/spack/mirrors.yaml" <<END
mirrors:
  packages: {url: "file://$cache", binary: true, source: false, signed: false}
  peers: {url: "oci+http://127.0.0.1:$port/peers", binary: true, source: false, signed: false}
END
    # The mirror of the registry is for pushing only, yet Spack asks every mirror for packages.
    empty_registry
    "$SPACK" -C "$work/spack" env create --without-view -d "$work/env" "$env/spack.lock" &&
        "$SPACK" -C "$work/spack" -e "$work/env" install --only-concrete --cache-only --no-check-signature
}
if [ -z "${SPACK:-}" ] || ! has "$SPACK"; then
    skip 'spack buildcache push' 'set SPACK to the executable of a real Spack (1.0 or later)'
elif ! prepare_spack >"$work/prepare" 2>&1 </dev/null; then
    skip 'spack buildcache push' "Spack cannot install the environment from the cache: $(grep -m1 Error "$work/prepare" || tail -n 1 "$work/prepare")"
else
    for _ in $(seq "$runs"); do
        empty_registry
        spack_push spack-cold || break
        spack_push spack-warm || break
    done
fi

# --- the floor ----------------------------------------------------------------------------------------------
cat >"$work/floor.sh" <<'END'
# floor.sh PORT ARCHIVE
set -eu
cat "$2" >/dev/null
gzip -dc <"$2" | sha256sum >/dev/null
at=$(curl -sf -X POST -D - -o /dev/null "http://127.0.0.1:$1/v2/floor/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
case $at in *\?*) at="$at&" ;; *) at="$at?" ;; esac
curl -sf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$2" -o /dev/null "${at}digest=sha256:${2##*/}"
END
for _ in $(seq "$runs"); do
    empty_registry
    measure floor xargs -a "$archives" -n 1 bash "$work/floor.sh" "$port" || break
    empty_registry
    measure floor-parallel xargs -a "$archives" -n 1 -P "$(nproc)" bash "$work/floor.sh" "$port" || break
done

# --- what came out ------------------------------------------------------------------------------------------
printf '\n%-34s %9s   %17s %7s\n' '' 'median s' 'min … max' 'peak MB'
show first 'spacktainers, nothing known'
show cold 'spacktainers, empty registry'
show warm 'spacktainers, all there'
show spack-cold 'spack push --tag, empty registry'
show spack-warm 'spack push --tag, all there'
show floor 'floor, one after another'
show floor-parallel "floor, $(nproc) at a time"
echo
ratio 'spack / spacktainers, empty registry, nothing known' spack-cold first 'to be at least 10'
ratio 'spack / spacktainers, empty registry' spack-cold cold 'diffIDs remembered'
ratio 'spack / spacktainers, all there' spack-warm warm 'to be at least 15'
ratio 'spacktainers, nothing known / floor' first floor 'to be at most 1.5'
ratio 'spacktainers, nothing known / floor on all cores' first floor-parallel 'for information'
