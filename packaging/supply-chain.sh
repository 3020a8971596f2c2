#!/bin/sh
# packaging/supply-chain.sh: licences, advisories, sources and duplicate versions by cargo-deny (deny.toml), where it is installed; and
# dist/sbom.cdx.json, a CycloneDX 1.5 list of every crate that is linked into the binary, made of `cargo metadata` alone.
set -eu
cd "$(dirname "$0")/.."
if ! command -v cargo-deny >/dev/null; then
    echo "supply-chain: cargo-deny is not installed (cargo install --locked cargo-deny): sources and duplicates are not checked, licences by packaging/sbom.py"
elif ! cargo fetch --locked -q; then
    echo "supply-chain: the crates are not in reach: cargo-deny is not asked"
else
    cargo deny --offline --log-level error check licenses bans sources
    # The database of advisories is fetched by hand (cargo deny fetch): it lies on GitHub, and a build does not depend on that.
    if [ -d "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs" ]; then
        cargo deny --offline check advisories
    else
        echo "supply-chain: no database of advisories here (cargo deny fetch): they are not checked"
    fi
fi
command -v python3 >/dev/null || { echo "supply-chain: no python3: no dist/sbom.cdx.json"; exit 0; }
mkdir -p dist
python3 packaging/sbom.py >dist/sbom.cdx.json
echo "dist/sbom.cdx.json: $(grep -c '"bom-ref": "pkg:' dist/sbom.cdx.json) components"
