#!/usr/bin/env bash
# omniwitness cosigns our log, remembers it across a crash and refuses a fork of it; and how it answers
# the published tlog-witness suite.
source "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/peers.sh"
require omniwitness tlog-check witness-check jq curl ss
suite=$bin_dir/services/witness/testdata/tlog_witness.json

{ read -r omni_key; read -r _; read -r omni_vkey; } < <(witness-check keys omni.example/w1)
echo "$omni_key" > "$work/omni.key"

# start_omniwitness NAME: on the logs of NAME.logs, "VKEY ORIGIN" a line.
start_omniwitness() {
  local log key
  {
    echo 'Logs:'
    while read -r key log; do
      printf -- '  - Origin: %s\n    PublicKey: %s\n    URL: http://unused.invalid\n' "$log" "$key"
    done < "$work/$1.logs"
  } > "$work/$1.yaml"
  start_peer "$1" omniwitness -listen 127.0.0.1:PORT -metrics_listen= -db_file "$work/$1.db" \
    -private_key_path "$work/omni.key" -additional_logs "$work/$1.yaml"
}

# --- Our log -----------------------------------------------------------------------------------------
origin=conformance.example/witnessed
"$bin_dir/services/ledger/countersign-ledger" --init --data "$work/ledger" --origin "$origin" \
  > "$work/init.log" 2>&1
vkey=$(cat "$work/ledger/log.vkey")
echo "$vkey $origin" > "$work/omni.logs"
start_omniwitness omni
printf 'log %s\nwitness omni %s http://127.0.0.1:%s\nquorum omni\n' "$vkey" "$omni_vkey" \
  "${port_of[omni]}" > "$work/policy"
start_service ledger ledger --origin "$origin" --witness-policy "$work/policy"

appended=0
checkpoints=()
grow() {
  append ledger cosigned $((appended + 1)) "$1" > "$work/checkpoint.$1"
  appended=$1
  checkpoints+=(-checkpoint "$work/checkpoint.$1")
  tlog-check -vkey "$vkey" -url "http://$(address ledger http)" "${checkpoints[@]}" \
    -policy "$work/policy" -witnesses 1
}
for size in 1 5 300; do grow $size; done

# --- A crash of the witness ----------------------------------------------------------------------------
crash omni
start_omniwitness omni
post() { # of what stands in the file body
  curl -s -o "$work/answer" -w '%{http_code}' --data-binary "@$work/body" \
    "http://127.0.0.1:${port_of[omni]}/add-checkpoint"
}
{ printf 'old 0\n\n' && cat "$work/checkpoint.5"; } > "$work/body"
[ "$(post)" = 409 ] && [ "$(cat "$work/answer")" = 300 ] || fail "it forgot: $(cat "$work/answer")"
for size in 301 777; do grow $size; done

# --- The suite -----------------------------------------------------------------------------------------
for ((i = 0; i < $(witness-check scenarios "$suite"); i++)); do
  witness-check logs "$suite" "$i" > "$work/omni-$i.logs"
  start_omniwitness "omni-$i"
  witness-check run "$suite" "$i" "http://127.0.0.1:${port_of[omni-$i]}" "$omni_vkey"
  crash "omni-$i"
done > "$work/differences"
# omniwitness/differences has what this version is known to answer otherwise.
diff -u <(grep -v '^#' "$here/omniwitness/differences") "$work/differences" \
  || fail "omniwitness answers otherwise than recorded"
stop ledger
