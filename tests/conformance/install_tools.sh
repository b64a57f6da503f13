#!/usr/bin/env bash
# Installs what the conformance tests run beside the suite, at the versions that go.sum and
# package-lock.json pin: the Go checker as DIR/bin/tlog-check, Sigstore's verifier in DIR/sigstore-js.
#
#   tests/conformance/install_tools.sh [DIR]     DIR defaults to $COUNTERSIGN_TOOLS
#
# Does nothing for what is there and up to date. Needs go, node and npm on the PATH.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${1:-${COUNTERSIGN_TOOLS:-$HOME/.cache/countersign/tools}}
mkdir -p "$tools/bin"
tools=$(cd "$tools" && pwd)

# Whether the stamp file $1 says that it was made from the other files; else prepares its successor.
up_to_date() {
  local stamp=$1
  shift
  wanted=$(cat "$@" | sha256sum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]
}

if ! up_to_date "$tools/tlog-check.stamp" "$here"/go/{go.mod,go.sum,main.go} \
  || [ ! -x "$tools/bin/tlog-check" ]; then
  echo "Building tlog-check"
  (cd "$here/go" && GOFLAGS='-mod=readonly -trimpath -buildvcs=false' go build -o "$tools/bin/tlog-check" .)
  echo "$wanted" > "$tools/tlog-check.stamp"
fi

if ! up_to_date "$tools/sigstore-js.stamp" "$here"/sigstore-js/{package.json,package-lock.json} \
  || [ ! -d "$tools/sigstore-js/node_modules/@sigstore/verify" ]; then
  echo "Installing @sigstore/verify"
  rm -rf "$tools/sigstore-js"
  mkdir -p "$tools/sigstore-js"
  cp "$here"/sigstore-js/{package.json,package-lock.json} "$tools/sigstore-js"
  (cd "$tools/sigstore-js" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  echo "$wanted" > "$tools/sigstore-js.stamp"
fi
