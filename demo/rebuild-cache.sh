#!/usr/bin/env bash
# Makes demo/cache, demo/keys/demo.pub and the spack.lock anew, with a real Spack.
#
#   SPACK=/opt/spack/bin/spack demo/rebuild-cache.sh
#
# Needs Spack 1.1 with the `builtin` recipes, gcc and python3 in /usr (Debian 12 was used), gpg and GNU
# tar, and the right to write to /opt/software, whose packages of the demo are built if they are not
# there yet. Spack's own path gets into the cache (`spackprefix`), so let it be one that tells nothing.
# A new signing key is made, used and thrown away; KEY_OUT=FILE keeps the private half.
set -euo pipefail

demo=$(cd "$(dirname "$0")" && pwd)
spack=${SPACK:?set SPACK to the executable of a real Spack 1.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export SPACK_DISABLE_LOCAL_CONFIG=1 SPACK_USER_CACHE_PATH=$work/user SPACK_GNUPGHOME=$work/gnupg
mkdir -m 700 "$SPACK_GNUPGHOME"
# The environment is solved in a copy, as `repos:` in it is relative to the project.
project=$work/demo
mkdir -p "$project"
cp -r "$demo/recipes" "$demo/sources" "$demo/container_definitions" "$project/"
env=$project/container_definitions/amd64/spike
mkdir -p "$work/config"
cat >"$work/config/config.yaml" <<END
config:
  install_tree:
    root: /opt/software
    padded_length: 128
  build_stage: [$work/stage]
  source_cache: $work/source-cache
END
cat >"$work/config/concretizer.yaml" <<END
concretizer:
  reuse: false
  targets:
    granularity: generic
END
cat >"$work/config/mirrors.yaml" <<END
mirrors:
  demo-sources:
    url: file://$work/sources
    source: true
    binary: false
  demo:
    url: file://$work/cache
    source: false
    binary: true
    signed: true
END
run() { "$spack" -C "$work/config" "$@"; }
in_env() { run -e "$env" "$@"; }

echo "1. sources: one reproducible tarball for each package, in a source mirror"
for package in libspike spike spike-models spike-plot; do
    tarball=$work/$package-1.0.0.tar
    tar --create --file="$tarball" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 \
        --numeric-owner --mode=u=rwX,go=rX --directory="$project/sources" \
        --transform="s,^$package,$package-1.0.0," "$package"
    sum=$(sha256sum "$tarball" | cut -d' ' -f1)
    recipe=$project/recipes/spack_repo/spacktainers_demo/packages/${package//-/_}/package.py
    grep -q "sha256=\"$sum\"" "$recipe" || {
        echo "the sources of $package have changed: put sha256=\"$sum\" into its recipe" >&2
        wrong=1
    }
    mkdir -p "$work/sources/_source-cache/archive/${sum:0:2}"
    mv "$tarball" "$work/sources/_source-cache/archive/${sum:0:2}/$sum.tar"
done
[ -z "${wrong:-}" ] || exit 1

echo "2. a lock and the packages"
rm -f "$env/spack.lock"
in_env concretize --fresh
in_env install --no-cache --fail-fast

echo "3. a build cache without logs, recipes and names of the machine"
run gpg create --expires 0 Spacktainers-demo demo@spacktainers.invalid
# Spack's own records of a build: they tell about the machine and hold Spack's code.
cat >"$work/scrub.py" <<'END'
import os, shutil
import spack.environment
for spec in spack.environment.active_environment().all_specs():
    if spec.external or not os.path.isdir(spec.prefix):
        continue
    for name in os.listdir(os.path.join(spec.prefix, ".spack")):
        if name not in ("spec.json", "install_manifest.json", "install_times.json"):
            path = os.path.join(spec.prefix, ".spack", name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
END
in_env python "$work/scrub.py"
in_env buildcache push --without-build-dependencies --signed demo
run gpg publish --mirror-name demo --update-index
run buildcache update-index demo
run gpg export "$work/demo.pub"
[ -z "${KEY_OUT:-}" ] || run gpg export --secret "$KEY_OUT"

echo "4. into the project"
rm -rf "$demo/cache"
cp -r "$work/cache" "$demo/cache"
mkdir -p "$demo/keys"
cp "$work/demo.pub" "$demo/keys/demo.pub"
cp "$env/spack.lock" "$demo/container_definitions/amd64/spike/spack.lock"
du -sh "$demo/cache"
