#!/usr/bin/env bash
# Times `spacktainers lock` and `spacktainers cache install` against real Spack, whole processes on the same
# packages in one run, and prints medians and ratios.
#
#   SPACK=…/bin/spack benches/peers/spack.sh [--spacktainers FILE] [--env DIR] [--cache DIR] [--key FILE] [--runs N]
#
#   --spacktainers  the program to judge                        $SPACKTAINERS, else target/release/spacktainers
#   --env           folder with spack.yaml and spack.lock       else the small one of $SPACKTAINERS_FIXTURES
#   --cache         build cache, layout v3, with its packages   likewise
#   --key           public key of the cache's signatures        likewise
#   --runs          times each thing is run                     5
#
# Choosing: `spack concretize --force --reuse` with that cache as the only mirror; ours with an index that is known,
# and with one that is seen for the first time.
# Laying down: `spack install --only-concrete --cache-only` into a store that is not there; ours with nothing known of
# the packages, and with what an earlier run remembers. Each run has a root of its own, so that nothing is deleted in between.
#
# Spack's configuration must know the recipe repositories that the lock names, trust the key, and be warm.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "$0")/../.." && pwd)
fixtures=${SPACKTAINERS_FIXTURES:-$root/../shared/fixtures}
program=${SPACKTAINERS:-$root/target/release/spacktainers}
env=$fixtures/envs/small cache=$fixtures/caches/small-v3 key=$fixtures/caches/signing-key.pub
runs=5
while [ $# -gt 0 ]; do
    case $1 in
    --spacktainers) program=$2 ;;
    --env) env=$2 ;;
    --cache) cache=$2 ;;
    --key) key=$2 ;;
    --runs) runs=$2 ;;
    *) sed -n '2,19s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift 2
done
if [ -z "${SPACK:-}" ]; then
    echo "SKIPPED: SPACK names no spack" >&2
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
project=$work/project
mkdir -p "$project/container_definitions/amd64/it"
cp "$env/spack.yaml" "$project/container_definitions/amd64/it/"
cat >"$project/spacktainers.toml" <<TOML
[[mirror]]
name = "cache"
url = "file://$cache"
keys = ["$key"]
[arch.amd64]
base = "scratch"
target = "x86_64_v3"
TOML

# Seconds of a command, into a file of figures.
timed() {
    local into=$1 start end
    shift
    start=$(date +%s.%N)
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
    end=$(date +%s.%N)
    echo "$start $end" | awk '{printf "%.3f\n", $2 - $1}' >>"$work/$into"
}
median() { sort -n "$work/$1" | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}'; }
ratio() { awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN {printf "%.1f", a / b}'; }

scope() {
    mkdir -p "$1"
    cat >"$1/config.yaml" <<YAML
config:
  install_tree:
    root: $2
YAML
    cat >"$1/mirrors.yaml" <<YAML
mirrors::
  cache: {url: "file://$cache", signed: true}
YAML
}

lock() {
    rm -f "$project/container_definitions/amd64/it/spack.lock"
    "$program" --project "$project" --cache "$1" lock it --solve-only
}
concretize() {
    rm -rf "$work/solve" && mkdir "$work/solve"
    cp "$env/spack.yaml" "$work/solve/"
    "$SPACK" -C "$work/scope" -e "$work/solve" concretize --force --reuse
}
ours() {
    "$program" --project "$project" --cache "$1" cache install "$env" --mirror "$cache" --key "$key" --tree "$2"
}
# Without its view: laying down is what is compared.
theirs() {
    mkdir "$2" && cp "$env/spack.lock" "$2/"
    awk '/^  view:/ {skip = 1; print "  view: false"; next} /^  [^ ]/ {skip = 0} !skip' "$env/spack.yaml" >"$2/spack.yaml"
    "$SPACK" -C "$1" -e "$2" install --only-concrete --cache-only --no-check-signature
}

scope "$work/scope" "$work/tree"
timed warm-up concretize
timed warm-up lock "$work/known"
for run in $(seq "$runs"); do
    timed solve-spack concretize
    timed solve-new lock "$work/new-$run"
    timed solve-known lock "$work/known"
    scope "$work/scope-$run" "$work/theirs-$run"
    timed lay-spack theirs "$work/scope-$run" "$work/env-$run"
    timed lay-cold ours "$work/cold-$run" "$work/ours-$run"
    timed lay-warm ours "$work/cold-$run" "$work/again-$run"
done

printf '%-44s %8s %8s\n' 'median of '"$runs"' runs' seconds times
printf '%-44s %8s %8s\n' 'spack concretize --reuse' "$(median solve-spack)" 1.0
printf '%-44s %8s %8s\n' 'spacktainers lock, index new' "$(median solve-new)" "$(ratio solve-spack solve-new)"
printf '%-44s %8s %8s\n' 'spacktainers lock, index known' "$(median solve-known)" "$(ratio solve-spack solve-known)"
printf '%-44s %8s %8s\n' 'spack install --cache-only' "$(median lay-spack)" 1.0
printf '%-44s %8s %8s\n' 'spacktainers cache install, nothing known' "$(median lay-cold)" "$(ratio lay-spack lay-cold)"
printf '%-44s %8s %8s\n' 'spacktainers cache install, packages known' "$(median lay-warm)" "$(ratio lay-spack lay-warm)"
