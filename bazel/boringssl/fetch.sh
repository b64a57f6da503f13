#!/bin/sh
# Fetches Debian's BoringSSL source package, checks its pinned hashes and unpacks it here.
#
# Usage: fetch.sh VERSION UPSTREAM_VERSION SHA256_ORIG SHA256_DEBIAN
#
# apt does the transport: a private copy of the machine's sources with deb-src added and lists of
# its own, so the system's configuration stays untouched and no root is needed.
set -eu

version=$1
upstream=$2
sha_orig=$3
sha_debian=$4
package=android-platform-external-boringssl
work=$PWD/.apt
mkdir -p "$work/parts" "$work/lists/partial" "$work/download"

for file in /etc/apt/sources.list.d/*.sources; do
  [ -e "$file" ] && sed -E 's/^Types:.*/Types: deb-src/' "$file" > "$work/parts/$(basename "$file")"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -e "$file" ] && sed -nE 's/^deb(-src)? /deb-src /p' "$file" > "$work/parts/$(basename "$file" .list).list"
done

apt="apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$work/parts -o Dir::State::Lists=$work/lists -o APT::Sandbox::User= -o Acquire::Retries=3"
# Foreign repositories may have no sources; only Debian's must answer.
$apt update > "$work/update.log" 2>&1 || true
cd "$work/download"
if ! $apt source --download-only "$package=$version" > "$work/source.log" 2>&1; then
  cat "$work/update.log" "$work/source.log" >&2
  echo "cannot fetch the Debian source package $package $version: is a Debian mirror reachable?" >&2
  exit 1
fi
echo "$sha_orig  ${package}_$upstream.orig.tar.xz
$sha_debian  ${package}_$version.debian.tar.xz" | sha256sum -c --quiet -

cd "$work/.."
tar -xJf "$work/download/${package}_$upstream.orig.tar.xz" --strip-components=1
tar -xJf "$work/download/${package}_$version.debian.tar.xz"
while read -r patch; do
  case $patch in "" | "#"*) continue ;; esac
  patch -s -p1 < "debian/patches/$patch"
done < debian/patches/series
rm -rf "$work"
