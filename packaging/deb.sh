#!/bin/sh
# packaging/deb.sh [amd64|arm64]: a Debian package of the static binary in dist/, which packaging/dist.sh makes first when it is not there.
# It depends on nothing: the binary is static. Manual and completions are what the binary itself prints; for another machine than this
# one they come from the binary of this machine. Needs dpkg-deb and gzip. The same commit gives the same bytes.
set -eu
cd "$(dirname "$0")/.."
arch=${1:-amd64}
case $arch in
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*) echo "deb: amd64 or arm64" >&2; exit 2 ;;
esac
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
binary=dist/necropsy-$version-$machine-linux
[ -x "$binary" ] || sh packaging/dist.sh "$machine-unknown-linux-musl"
own=dist/necropsy-$version-$(uname -m)-linux
[ -x "$own" ] || own=$binary
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH LC_ALL=C
umask 022
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
doc=$root/usr/share/doc/necropsy
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/man/man1" "$doc/formats" "$root/usr/share/bash-completion/completions" \
    "$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
install -m 755 "$binary" "$root/usr/bin/necropsy"
"$own" man --dir "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
"$own" completions bash >"$root/usr/share/bash-completion/completions/necropsy"
"$own" completions zsh >"$root/usr/share/zsh/vendor-completions/_necropsy"
"$own" completions fish >"$root/usr/share/fish/vendor_completions.d/necropsy.fish"
cp docs/*.md docs/*.json "$doc/"
cp docs/formats/*.md "$doc/formats/"
gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
{
    echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
    echo "Upstream-Name: necropsy"
    echo
    echo "Files: *"
    echo "Copyright: the authors of necropsy"
    echo "License: Expat"
    sed -e 's/^$/./' -e 's/^/ /' LICENSE
} >"$doc/copyright"
# What is linked in, with versions and licences, where it was made.
[ ! -f dist/sbom.cdx.json ] || cp dist/sbom.cdx.json "$doc/"
find "$root" -type f ! -path '*/bin/*' -exec chmod 644 {} +
cat >"$root/DEBIAN/control" <<END
Package: necropsy
Version: $version-1
Architecture: $arch
Maintainer: necropsy <necropsy@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Section: utils
Priority: optional
Description: forensic triage of cores, thread dumps and crash logs
 Give it a core, a goroutine or Java thread dump, a fatal error log or the
 kernel's log, and it says what died or hangs, where it crashed, where the
 bad value was born, who waits for whom, and whether it was the right dump.
 .
 It needs no debugger and no network; symbols are taken from the machine, from
 directories that are named, or from symbol servers that are named.
END
(cd "$root" && find usr -type f | sort | xargs md5sum) >"$root/DEBIAN/md5sums"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=dist/necropsy_${version}-1_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
! command -v lintian >/dev/null || lintian --suppress-tags statically-linked-binary,initial-upload-closes-no-bugs "$package"
echo "$package"
