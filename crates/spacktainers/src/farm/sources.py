# Fetches the sources of packages of a lock into Spack's source cache, and checks them.
#
#   spack -e ENVIRONMENT python sources.py REQUEST RESULT
#
# REQUEST: {"hashes": [HASH], "offline": BOOL}
# RESULT:  {"packages": [{"hash", "faults": [{"source", "checksum", "reason"}], "moving": [SOURCE]}]}
#
# `moving` are sources that no cache can hold: a build has to fetch them itself.
#
# This is what `spack fetch` does (PackageBase.do_fetch in lib/spack/spack/package_base.py of Spack 1.1), source by source,
# so that each one that is missing can be named.
import json
import os
import sys

import spack.config
import spack.environment
import spack.error


def staged(package):
    """All that is fetched for a package: its source, its resources, its patches."""
    stage = package.stage
    yield from (stage if isinstance(stage, list) else [stage])
    # Before Spack 1.0 patches had stages of their own.
    for patch in getattr(package.spec, "patches", []):
        if getattr(patch, "stage", None):
            yield patch.stage


def about(stage):
    fetcher = stage.default_fetcher
    url = getattr(fetcher, "url", None) or str(fetcher)
    return {"source": url, "checksum": getattr(fetcher, "digest", None) or ""}


def reason(error):
    details = getattr(error, "long_message", None)
    text = str(getattr(error, "message", error))
    lines = [line.strip() for line in (details or "").splitlines() if line.strip()]
    return "; ".join([text] + lines[-3:])


def fetch(package, offline):
    result = {"faults": [], "moving": []}
    checksum = spack.config.get("config:checksum", True)
    has_checksum = package.version in package.versions
    is_git = type(package.version).__name__ == "GitVersion"
    if checksum and not has_checksum and not is_git:
        text = "the recipe has no checksum of this version"
        result["faults"].append({"source": package.name, "checksum": "", "reason": text})
        return result
    for stage in staged(package):
        fetcher = stage.default_fetcher
        if type(fetcher).__name__ == "BundleFetchStrategy":
            continue
        if not fetcher.cachable:
            result["moving"].append(about(stage)["source"])
            continue
        before = os.getcwd()
        try:
            stage.create()
            stage.fetch(mirror_only=offline)
            if checksum:
                stage.check()
            stage.cache_local()
        except (spack.error.SpackError, OSError) as error:
            result["faults"].append({**about(stage), "reason": reason(error)})
        finally:
            os.chdir(before)
            stage.destroy()
    return result


with open(sys.argv[1]) as file:
    request = json.load(file)
environment = spack.environment.active_environment()
nodes = {}
for root in environment.specs_by_hash.values():
    for spec in root.traverse():
        nodes[spec.dag_hash()] = spec
packages = []
for wanted in request["hashes"]:
    package = nodes[wanted].package
    found = {"faults": [], "moving": []}
    if package.has_code:
        found = fetch(package, request["offline"])
    packages.append({"hash": wanted, **found})

with open(sys.argv[2], "w") as file:
    json.dump({"packages": packages}, file)
