#!/usr/bin/env bash
# A ledger without witnesses, read over HTTP by Go's sumdb: each of its checkpoints, every tile and
# entry, across a restart; and nothing of it altered.
source "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/peers.sh"
require tlog-check jq curl

start_service ledger ledger --origin conformance.example/alone
vkey=$(cat "$work/ledger/log.vkey")

# Around the widths of tiles of all levels, up to three of them.
appended=0
checkpoints=()
for size in 1 2 255 256 257 600 65535 65536 65537 70000; do
  append ledger cosigned $((appended + 1)) "$size" > "$work/answered"
  appended=$size
  curl -sf "http://$(address ledger http)/checkpoint" > "$work/checkpoint.$size"
  cmp "$work/answered" "$work/checkpoint.$size"
  [ "$(sed -n 2p "$work/checkpoint.$size")" = "$size" ] || fail "not the checkpoint of $size"
  checkpoints+=(-checkpoint "$work/checkpoint.$size")
  if [ "$size" = 257 ]; then
    stop ledger
    start_service ledger ledger --origin conformance.example/alone
  fi
done
url=http://$(address ledger http)
cs ledger ledger proof consistency 600 65537 --json > "$work/consistency.json"
check() { tlog-check -vkey "$vkey" -url "$url" "$@"; }
check "${checkpoints[@]}" -consistency "$work/consistency.json"

# The folder alone is the same log.
tlog-check -vkey "$vkey" -url "file://$work/ledger/public" "${checkpoints[@]}"

for path in /checkpoint /tile/0/000 /tile/0/272 /tile/0/273.p/112 /tile/1/000 /tile/1/001.p/17 \
  /tile/2/000.p/1 /tile/entries/000 /tile/entries/273.p/112; do
  curl -sf "$url$path" > /dev/null || fail "$path is not there"
  if check -alter "$path" 2> "$work/refusal"; then fail "$path was altered and nobody saw it"; fi
done
if check "${checkpoints[@]}" -checkpoint "$work/checkpoint.2" 2> "$work/refusal"; then
  fail "a log that shrank was taken"
fi
if tlog-check -vkey "$(witness-check keys conformance.example/alone | sed -n 2p)" -url "$url" \
  2> "$work/refusal"; then
  fail "another key's log was taken"
fi
stop ledger
