"""CycloneDX 1.5 on standard output: what `cargo metadata` resolves for the binary, without what only builds or tests it.

Also checks licences, so that a machine without cargo-deny sees them too: a crate must offer one that LICENCES holds.
"""
import json
import re
import subprocess
import sys

# As deny.toml.
LICENCES = {"MIT", "Apache-2.0", "BSD-3-Clause", "ISC", "Unicode-3.0", "Zlib", "CDLA-Permissive-2.0", "bzip2-1.0.6"}


def allowed(expression):
    """An expression of SPDX holds when one of its alternatives does; AND binds tighter than OR."""
    text = expression.replace("/", " OR ")
    while (inner := re.search(r"\(([^()]*)\)", text)):
        text = text[:inner.start()] + ("MIT" if allowed(inner.group(1)) else "NONE") + text[inner.end():]
    return any(all(part.strip() in LICENCES for part in one.split(" AND ")) for one in text.split(" OR "))


def main():
    targets = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"]
    command = ["cargo", "metadata", "--format-version", "1", "--locked"] + [f"--filter-platform={one}" for one in targets]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(package["id"] for package in metadata["packages"] if package["name"] == "necropsy")
    seen, queue, edges = {root}, [root], {}
    while queue:
        node = nodes[queue.pop()]
        linked = [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        # A macro runs in the compiler.
        linked = [one for one in linked if "proc-macro" not in packages[one]["targets"][0]["kind"]]
        edges[node["id"]] = linked
        queue += [one for one in linked if one not in seen]
        seen.update(linked)
    ref = lambda one: f"pkg:cargo/{packages[one]['name']}@{packages[one]['version']}"
    order = sorted(seen, key=ref)
    component = lambda one: {
        "type": "application" if one == root else "library",
        "bom-ref": ref(one),
        "name": packages[one]["name"],
        "version": packages[one]["version"],
        "licenses": [{"expression": (packages[one]["license"] or "NOASSERTION").replace("/", " OR ")}],
        "purl": ref(one),
    }
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(root)},
        "components": [component(one) for one in order if one != root],
        "dependencies": [{"ref": ref(one), "dependsOn": sorted(map(ref, edges[one]))} for one in order],
    }
    json.dump(bom, sys.stdout, indent=1)
    print()
    refused = [f"{ref(one)}: {packages[one]['license']}" for one in order if not allowed(packages[one]["license"] or "")]
    if refused:
        sys.exit("licences that deny.toml does not allow:\n" + "\n".join(refused))


main()
