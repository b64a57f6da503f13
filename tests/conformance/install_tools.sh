#!/usr/bin/env bash
# Installs what the conformance tests and the benchmarks run beside the suite, at the versions that
# go.mod, go.sum and package-lock.json pin: the programs of go/ as DIR/bin/NAME, Sigstore's verifier in
# DIR/sigstore-js.
#
#   tests/conformance/install_tools.sh [DIR [NAME…]]     DIR defaults to $COUNTERSIGN_TOOLS, NAME to all
#                                                        but step-ca and step-load
#
# Does nothing for what is there and up to date. Needs go, node and npm on the PATH.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${1:-${COUNTERSIGN_TOOLS:-$HOME/.cache/countersign/tools}}
mkdir -p "$tools/bin"
tools=$(cd "$tools" && pwd)
names=" ${*:2} "
wanted() { [[ $names == "  " || $names == *" $1 "* ]]; }

# Whether the stamp file $1 says that it was made from the other files; else prepares its successor.
up_to_date() {
  local stamp=$1
  shift
  sum=$(cat "$@" | sha256sum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ]
}

# build NAME MODULE PACKAGE: a Go program, of the module in the folder MODULE, as DIR/bin/NAME.
build() {
  local name=$1 module=$2 package=$3 sources=()
  wanted "$name" || return 0
  mapfile -t sources < <(find "$module" -name '*.go' -o -name go.mod -o -name go.sum | LC_ALL=C sort)
  if up_to_date "$tools/$name.stamp" "${sources[@]}" && [ -x "$tools/bin/$name" ]; then return; fi
  echo "Building $name"
  (cd "$module" && CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false' \
    go build -o "$tools/bin/$name" "$package")
  echo "$sum" > "$tools/$name.stamp"
}

build tlog-check "$here/go" ./tlog-check
build witness-check "$here/go" ./witness-check
build pki-check "$here/go" ./pki-check
build zlint "$here/zlint" github.com/zmap/zlint/v3/cmd/zlint
build omniwitness "$here/omniwitness" github.com/transparency-dev/witness/cmd/omniwitness
build tessera-log "$here/tessera" .
build tessera-posix "$here/tessera" github.com/transparency-dev/tessera/cmd/conformance/posix
build pebble "$here/pebble" github.com/letsencrypt/pebble/v2/cmd/pebble
build pebble-challtestsrv "$here/pebble" github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv
# Large, and run by a benchmark alone: built by name only.
if [ "$names" != "  " ]; then
  build step-ca "$here/step-ca" github.com/smallstep/certificates/cmd/step-ca
  build step-load "$here/step-ca" .
fi

if wanted sigstore-js \
  && { ! up_to_date "$tools/sigstore-js.stamp" "$here"/sigstore-js/{package.json,package-lock.json} \
    || [ ! -d "$tools/sigstore-js/node_modules/@sigstore/verify" ]; }; then
  echo "Installing @sigstore/verify"
  rm -rf "$tools/sigstore-js"
  mkdir -p "$tools/sigstore-js"
  cp "$here"/sigstore-js/{package.json,package-lock.json} "$tools/sigstore-js"
  (cd "$tools/sigstore-js" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  echo "$sum" > "$tools/sigstore-js.stamp"
fi
