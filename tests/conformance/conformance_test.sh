#!/usr/bin/env bash
# One real run of the suite, judged by programs that share no code with it: Go's sumdb for the log,
# openssl for the signatures, npm's @sigstore/verify for the bundle. The last acts with nothing running.
source "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/peers.sh"
require tlog-check openssl node jq
[ -d "$tools/sigstore-js/node_modules/@sigstore/verify" ] \
  || fail "@sigstore/verify is missing: run scripts/install-tools"
data=$work/data

cs() { "$countersign" --data "$data" "$@"; }

# --- The run ---------------------------------------------------------------------------------------
start up "$countersign" --data "$data" up --any-port --bin-dir "$bin_dir" \
  --origin conformance.example/log --ready-file "$work/ready"
eventually up test -s "$work/ready" || fail "the suite did not start"
endpoint() { jq -er ".$1" "$data/endpoints.json"; }

# More entries than one tile holds, so that full and partial tiles of two levels are read.
mkdir "$work/entries"
for i in $(seq 300); do echo "entry $i" > "$work/entries/$i"; done
cs ledger append --wait integrated "$work"/entries/* > "$work/appended"

printf 'What is signed.\n' > "$work/file"
: > "$work/empty"
for algorithm in ecdsa-p256-sha256 ecdsa-p384-sha384 rsa-pss-2048-sha256 rsa-pkcs1-2048-sha256 ed25519; do
  cs keys create "$algorithm" --algorithm "$algorithm" > "$work/created"
  cs keys public-key "$algorithm" > "$work/$algorithm.pem"
  for name in file empty; do
    cp "$work/$name" "$work/$algorithm.$name"
    cs sign "$work/$algorithm.$name" --key "$algorithm" --ledger cosigned > "$work/signed"
  done
done
cs ledger append --wait cosigned "$work/file" > "$work/appended"
cs ledger proof consistency 77 --json > "$work/consistency.json"
cs trust export --out "$work/trust.json" --sigstore "$work/root.json" --policy "$work/policy" \
  > "$work/exported"

# --- The log, by Go ----------------------------------------------------------------------------------
vkey=$(endpoint log_vkey)
url=http://$(endpoint ledger_http)
tlog() {
  tlog-check -vkey "$1" -url "$url" -policy "$work/policy" -consistency "$2" -proof "$3" -witnesses 2
}
for name in file empty; do
  tlog "$vkey" "$work/consistency.json" "$work/ecdsa-p256-sha256.$name.tlog-proof"
done
sed -E 's/^index .*/index 5/' "$work/ecdsa-p256-sha256.file.tlog-proof" > "$work/wrong.tlog-proof"
if tlog "$vkey" "$work/consistency.json" "$work/wrong.tlog-proof" 2> "$work/refusal"; then
  fail "tlog-check took a wrong index"
fi
jq '.proof.hashes |= reverse' "$work/consistency.json" > "$work/wrong.json"
if tlog "$vkey" "$work/wrong.json" "$work/ecdsa-p256-sha256.file.tlog-proof" 2> "$work/refusal"; then
  fail "tlog-check took a wrong consistency proof"
fi

# --- Nothing runs any more -----------------------------------------------------------------------------
stop up
status=0
cs keys list 2> "$work/refusal" || status=$?
[ "$status" = 2 ] || fail "without a suite the exit code is $status"
grep -q 'countersign up' "$work/refusal" || fail "no hint: $(cat "$work/refusal")"

# --- The signatures, by openssl --------------------------------------------------------------------------
openssl_verify() {
  local algorithm=$1 file=$2
  shift 2
  jq -er .messageSignature.signature "$file.sigstore.json" | base64 -d > "$work/signature"
  openssl dgst "$@" -verify "$work/$algorithm.pem" -signature "$work/signature" "$file"
}
for name in file empty; do
  openssl_verify ecdsa-p256-sha256 "$work/ecdsa-p256-sha256.$name" -sha256
  openssl_verify ecdsa-p384-sha384 "$work/ecdsa-p384-sha384.$name" -sha384
  openssl_verify rsa-pkcs1-2048-sha256 "$work/rsa-pkcs1-2048-sha256.$name" -sha256
  openssl_verify rsa-pss-2048-sha256 "$work/rsa-pss-2048-sha256.$name" -sha256 \
    -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32
done
cp "$work/ecdsa-p256-sha256.file.sigstore.json" "$work/empty.sigstore.json"
if openssl_verify ecdsa-p256-sha256 "$work/empty" -sha256; then fail "openssl took another file"; fi

# --- The bundle, by Sigstore's JavaScript verifier ---------------------------------------------------------
for name in file empty; do
  node "$here/sigstore-js/verify.cjs" "$tools/sigstore-js" "$work/root.json" \
    "$work/ecdsa-p256-sha256.$name.sigstore.json" "$work/ecdsa-p256-sha256.$name" \
    "$work/ecdsa-p256-sha256.pem"
done

# --- And by ourselves ----------------------------------------------------------------------------------------
for algorithm in ecdsa-p256-sha256 ecdsa-p384-sha384 rsa-pss-2048-sha256 rsa-pkcs1-2048-sha256 ed25519; do
  for name in file empty; do
    cs verify "$work/$algorithm.$name" --trust "$work/trust.json" --json > "$work/report"
    jq -e '.verified and (.proofs | length) == 2 and (.proofs | all(.witnesses | length >= 2))' \
      "$work/report" > /dev/null || fail "$(cat "$work/report")"
  done
done
cs verify "$work/ecdsa-p256-sha256.file" --trust "$work/trust.json"
echo x >> "$work/ed25519.file"
status=0
cs verify "$work/ed25519.file" --trust "$work/trust.json" || status=$?
[ "$status" = 1 ] || fail "a changed file's exit code is $status"
echo "All agree."
