#!/usr/bin/env bash
# Our witness cosigns a log of Tessera's and refuses its fork; our mirror copies the log and not the fork.
source "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/peers.sh"
require tessera-log tessera-posix tlog-check witness-check jq curl ss

origin=conformance.example/tessera
{ read -r log_key; read -r log_vkey; } < <(witness-check keys "$origin")
echo "$log_key" > "$work/log.key"
start_service witness witness --name witness.example/ours --log "$log_vkey"
printf 'log %s\nwitness ours %s http://%s\nquorum ours\n' "$log_vkey" \
  "$(cat "$work/witness/witness.vkey")" "$(address witness http)" > "$work/policy"
monitored() {
  curl -sf "http://$(address witness http)/$(printf %s "$origin" | sha256sum | cut -d ' ' -f 1)/checkpoint"
}

# tessera FOLDER ENTRIES TEXT [FLAG…]: prints what the witness answered, a status a line.
tessera() {
  local folder=$1 entries=$2 text=$3
  shift 3
  tessera-log -storage "$work/$folder" -key "$work/log.key" -entries "$entries" -text "$text" "$@" \
    2> "$work/tessera.log"
}
check() { # FOLDER FLAG…
  local folder=$1
  shift
  tlog-check -vkey "$log_vkey" -url "file://$work/$folder" -policy "$work/policy" "$@"
}

# The empty tree is cosigned first; then each that Tessera publishes.
checkpoints=()
for count in 1 300 5; do
  tessera log "$count" "first $count" -policy "$work/policy" > "$work/answers"
  cp "$work/log/checkpoint" "$work/checkpoint.$count"
  checkpoints+=(-checkpoint "$work/checkpoint.$count")
  check log "${checkpoints[@]}" -witnesses 1
  monitored > "$work/monitored"
  cmp <(sed '/^$/q' "$work/monitored") <(sed '/^$/q' "$work/log/checkpoint")
  # The log's signature and the witness's, and no others.
  [ "$(grep -c '^— ' "$work/monitored")" = 2 ] || fail "$(cat "$work/monitored")"
done
[ "$(sed -n 2p "$work/monitored")" = 306 ] || fail "$(cat "$work/monitored")"

# refused FOLDER WANTED-STATUS: what is published stays, and so does what the witness cosigned.
refused() {
  local status=0 before
  before=$(cat "$work/$1/checkpoint" 2> /dev/null || true)
  tessera "$1" 10 more -policy "$work/policy" > "$work/answers" || status=$?
  [ "$status" = 3 ] || fail "tessera-log ended with $status"
  [ "$(tail -n 1 "$work/answers")" = "$2" ] || fail "the witness answered $(tr '\n' ' ' < "$work/answers")"
  [ "$before" = "$(cat "$work/$1/checkpoint" 2> /dev/null || true)" ] || fail "the fork was published"
  monitored | cmp - "$work/monitored"
}

# A log of the same key and origin with other entries, larger: the witness tells its size, and the
# proof from there does not hold.
tessera fork 400 other
check fork
refused fork 422
grep -qx 409 "$work/answers" || fail "the witness did not tell its size"

# One of the same size, asked for without a proof: the same root would be needed.
tessera twin 306 other
{ printf 'old 306\n\n' && cat "$work/twin/checkpoint"; } > "$work/body"
code=$(curl -s -o "$work/answer" -w '%{http_code}' --data-binary "@$work/body" \
  "http://$(address witness http)/add-checkpoint")
[ "$code" = 422 ] || fail "the twin was answered $code"
monitored | cmp - "$work/monitored"

# The log itself goes on.
tessera log 3 last -policy "$work/policy" > "$work/answers"
check log "${checkpoints[@]}" -checkpoint "$work/log/checkpoint" -witnesses 1
stop witness

# --- Our mirror and fsck -------------------------------------------------------------------------------
ledger() { "$countersign" --data "$work/cli" ledger "$@" --key "$log_vkey"; }
ledger mirror "$work/log" "$work/copy" --policy "$work/policy"
ledger fsck "$work/copy" --policy "$work/policy"
check copy "${checkpoints[@]}" -witnesses 1
cmp "$work/log/checkpoint" "$work/copy/checkpoint"
if ledger mirror "$work/fork" "$work/copy" 2> "$work/refusal"; then fail "the fork was mirrored"; fi
cmp "$work/log/checkpoint" "$work/copy/checkpoint"

# From Tessera's own server, as it grows.
start_peer posix tessera-posix -storage_dir "$work/log" -listen 127.0.0.1:PORT -private_key "$work/log.key"
url=http://127.0.0.1:${port_of[posix]}
ledger mirror "$url" "$work/copy"
seq 600 700 | xargs -P 20 -I{} curl -sf -o "$work/answer.{}" -d 'entry {}' "$url/add"
grown() { [ "$(curl -sf "$url/checkpoint" | sed -n 2p)" = 410 ]; }
eventually posix grown || fail "Tessera published $(curl -sf "$url/checkpoint" | sed -n 2p) entries"
ledger mirror "$url" "$work/copy"
ledger fsck "$url"
check copy "${checkpoints[@]}"
crash posix
printf x | dd of="$work/copy/tile/entries/000" bs=1 seek=100 conv=notrunc status=none
if ledger fsck "$work/copy" > "$work/refusal"; then fail "fsck took an altered entry"; fi
grep -q tile/entries/000 "$work/refusal" || fail "fsck named $(cat "$work/refusal")"
