"""What a package depends on to be built, from `cargo metadata` on standard input: a crate a line, with its licence, and
`build script` or `macro` where it runs something at build time."""

import json
import sys

metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}


def reach(node, found):
    for dependency in nodes[node]["deps"]:
        if dependency["pkg"] not in found and any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
            found.add(dependency["pkg"])
            reach(dependency["pkg"], found)
    return found


for node in sorted(reach(metadata["resolve"]["root"], set()), key=lambda node: (packages[node]["name"], packages[node]["version"])):
    package = packages[node]
    kinds = {kind for target in package["targets"] for kind in target["kind"]}
    runs = [said for kind, said in [("custom-build", "build script"), ("proc-macro", "macro")] if kind in kinds]
    major = package["version"].split(".")
    version = ".".join(major[:1] if major[0] != "0" else major[:2])
    print("; ".join([f"{package['name']} {version}", package["license"], *runs]))
