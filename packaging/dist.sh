#!/bin/sh
# packaging/dist.sh [TARGET…]: static release binaries in dist/, each with its checksum. Without a target, x86-64 and aarch64.
#
# The C parts (zstd, the cryptography of TLS) are compiled with musl-gcc for x86-64, and for aarch64 with the cross compiler of
# Debian (gcc-aarch64-linux-gnu), whose own C library is not linked. Paths of the machine are mapped away and nothing is taken from
# the clock, so that two builds of one commit in two directories are equal byte for byte.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- x86_64-unknown-linux-musl aarch64-unknown-linux-musl
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
# `a=b` maps a to b, the last one that fits wins.
RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust --remap-path-prefix=$(pwd)=/necropsy"
CFLAGS="${CFLAGS:-} -U_FORTIFY_SOURCE -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$(pwd)=/necropsy"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export RUSTFLAGS CFLAGS SOURCE_DATE_EPOCH
mkdir -p dist
for target; do
    if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$target"; then
        rustup target add "$target"
    fi
    case $target in
    x86_64-unknown-linux-musl) export CC_x86_64_unknown_linux_musl=musl-gcc ;;
    aarch64-unknown-linux-musl)
        export CC_aarch64_unknown_linux_musl=aarch64-linux-gnu-gcc
        export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld
        ;;
    esac
    cargo build --locked --profile dist --package necropsy --target "$target"
    name=necropsy-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)-${target%%-*}-linux
    cp "${CARGO_TARGET_DIR:-target}/$target/dist/necropsy" "dist/$name"
    (cd dist && sha256sum "$name" >"$name.sha256")
    echo "dist/$name"
done
