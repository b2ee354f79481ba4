# Asks recipes what they set at run time, of a lock whose packages need not be installed.
#
#   spack -e ENVIRONMENT python run_environment.py REQUEST RESULT
#
# REQUEST: {"roots": [HASH], "prefixes": {HASH: PATH}}
# RESULT:  {"spack": VERSION, "packages": [{"hash", "name", "sets": [{"command", "name", "value", "separator"}]}],
#           "failed": [{"hash", "name", "reason"}]}
#
# This is what `spack load` of the roots does, package by package, without the directories that it looks for itself:
# SetupContext.get_env_modifications in lib/spack/spack/build_environment.py of Spack 1.1.
import itertools
import json
import sys

import spack
import spack.build_environment
import spack.deptypes
import spack.environment
import spack.util.environment
from spack.context import Context

COMMANDS = {
    "SetEnv": "set",
    "SetPath": "set",
    "UnsetEnv": "unset",
    "PrependPath": "prepend_path",
    "AppendPath": "append_path",
    "RemovePath": "remove_path",
    "AppendFlagsEnv": "append_flags",
}


def modification(item):
    kind = type(item).__name__
    if kind == "PruneDuplicatePaths":
        return None  # done for all variables in the end
    if kind not in COMMANDS:
        raise ValueError(f"{kind} of {item.name} is not known")
    return {
        "command": COMMANDS[kind],
        "name": item.name,
        "value": str(getattr(item, "value", "")),
        "separator": item.separator,
    }


with open(sys.argv[1]) as file:
    request = json.load(file)
environment = spack.environment.active_environment()
roots = [environment.specs_by_hash[root] for root in request["roots"]]
for root in roots:
    for spec in root.traverse(deptype=("link", "run")):
        prefix = request["prefixes"].get(spec.dag_hash())
        if prefix and not spec.external:
            spec.set_prefix(prefix)

context = spack.build_environment.SetupContext(*roots, context=Context.RUN)
result = {"spack": str(spack.spack_version), "packages": [], "failed": []}
try:
    context.set_all_package_py_globals()
    broken = None
except Exception as error:  # one recipe of many; which, is found out below
    broken = error

for spec, flag in itertools.chain(context.external, context.nonexternal):
    if not context.should_setup_run_env & flag:
        continue
    about = {"hash": spec.dag_hash(), "name": spec.name}
    modifications = spack.util.environment.EnvironmentModifications()
    try:
        package = spec.package
        for dependent in spec.dependents(deptype=spack.deptypes.LINK | spack.deptypes.RUN):
            if id(dependent) in context.nodes_in_subdag:
                package.setup_dependent_run_environment(modifications, dependent)
        package.setup_run_environment(modifications)
        sets = [modification(item) for item in modifications.env_modifications]
        result["packages"].append({**about, "sets": [item for item in sets if item]})
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if broken is not None:
            reason += f" (after {type(broken).__name__}: {broken})"
        result["failed"].append({**about, "reason": reason})

with open(sys.argv[2], "w") as file:
    json.dump(result, file)
