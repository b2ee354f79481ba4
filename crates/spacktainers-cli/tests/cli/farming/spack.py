#!/usr/bin/env python3
"""Stands in for Spack where tests are about who builds when, and not about what is built.

Does what the farm asks of Spack: `install /HASH` of a lock makes a prefix with its spec.json and a record in the database,
`python SCRIPT REQUEST RESULT` answers that recipes set nothing. Packages say by variants how they behave: `seconds` to
take, `megabytes` to hold meanwhile, `broken` for those that fail. Each build is noted in the file that FARMING_LOG names.
"""

import fcntl
import json
import os
import sys
import time


def options(arguments):
    found = {}
    while arguments and arguments[0].startswith("-"):
        found[arguments[0]] = arguments[1]
        arguments = arguments[2:]
    return found, arguments


def note(text):
    with open(os.environ["FARMING_LOG"], "a") as log:
        log.write(text + "\n")


def fail(text):
    sys.exit(f"==> Error: {text}")


def jobserver():
    """What make would be told: how many tokens are there, beside the one that this build has."""
    flags = os.environ.get("MAKEFLAGS", "")
    if "--jobserver-auth=8,9" not in flags:
        return "none"
    held = b""
    os.set_blocking(8, False)
    while True:
        try:
            held += os.read(8, 1)
        except BlockingIOError:
            break
    os.write(9, held)
    return str(len(held))


def install(found, arguments):
    wanted = arguments[-1].lstrip("/")
    with open(os.path.join(found["-C"], "config.yaml")) as file:
        config = json.load(file)["config"]
    with open(os.path.join(found["-e"], "spack.lock")) as file:
        specs = json.load(file)["concrete_specs"]
    root = config["install_tree"]["root"]
    node = specs[wanted]
    name = f"{node['name']}-{node['version']}-{wanted}"
    folder = os.path.join(root, ".spack-db")
    index = os.path.join(folder, "index.json")
    os.makedirs(folder, exist_ok=True)

    def read():
        if not os.path.exists(index):
            return {"database": {"version": "8", "installs": {}}}
        with open(index) as file:
            return json.load(file)

    installs = read()["database"]["installs"]
    if wanted in installs:
        return
    for edge in node.get("dependencies", []):
        record = installs.get(edge["hash"])
        if not record or not os.path.isdir(record["path"]):
            fail(f"{edge['name']} is not installed")
    behaviour = node["parameters"]
    where = os.environ.get("SLURMD_NODENAME", "here")
    note(f"begin {node['name']} {where} {jobserver()}")
    held = bytearray(int(behaviour.get("megabytes", "0")) << 20)
    for place in range(0, len(held), 4096):
        held[place] = 1
    time.sleep(float(behaviour.get("seconds", "0")))
    if behaviour.get("broken"):
        stage = os.path.join(config["build_stage"][0], "spack-stage-" + name)
        os.makedirs(stage, exist_ok=True)
        with open(os.path.join(stage, "spack-build-out.txt"), "w") as log:
            log.write("x.c:3:1: error: no such thing\n")
        fail(f"{node['name']} does not build")
    architecture = node["arch"]
    prefix = os.path.join(root, f"{architecture['platform']}-{architecture['target']}", name)
    os.makedirs(os.path.join(prefix, ".spack"), exist_ok=True)
    os.makedirs(os.path.join(prefix, "bin"), exist_ok=True)
    with open(os.path.join(prefix, "bin", node["name"]), "w") as file:
        file.write("#!/bin/sh\necho " + node["name"] + "\n")
    nodes, reached = [], [wanted]
    for hash in reached:
        nodes.append(specs[hash])
        reached += [e["hash"] for e in specs[hash].get("dependencies", []) if e["hash"] not in reached]
    with open(os.path.join(prefix, ".spack", "spec.json"), "w") as file:
        json.dump({"spec": {"_meta": {"version": 5}, "nodes": nodes}}, file)
    with open(os.path.join(folder, "lock"), "a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        database = read()
        database["database"]["installs"][wanted] = {
            "spec": node,
            "path": prefix,
            "installed": True,
            "ref_count": 0,
            "explicit": False,
            "installation_time": time.time(),
        }
        with open(index + ".new", "w") as file:
            json.dump(database, file)
        os.rename(index + ".new", index)
    note(f"end {node['name']}")


def main():
    found, arguments = options(sys.argv[1:])
    if arguments[0] == "install":
        install(found, arguments)
    elif arguments[0] == "python":
        # Nobody sets anything at run time, and there are no sources.
        with open(arguments[3], "w") as file:
            json.dump({"spack": "1.1.0", "packages": [], "failed": []}, file)
    else:
        fail(f"this stand-in cannot {arguments[0]}")


main()
