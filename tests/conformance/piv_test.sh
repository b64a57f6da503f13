#!/usr/bin/env bash
# The cards in software that the suite is tested and tried with, judged by programs for real ones, which
# share no code with them: yubico-piv-tool, OpenSC and openssl, through a real pcscd. Its selfsign-certificate
# and request-certificate are not asked: those of Debian's version fail with OpenSSL 3 before they call the card.
source "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/peers.sh"
set -E # a function that fails says where
require yubico-piv-tool pkcs15-tool pkcs11-tool openssl
simulator=$bin_dir/libs/testing/piv/piv-simulator
module=$(dirname "$(command -v pkcs11-tool)")/../lib/$(uname -m)-linux-gnu/opensc-pkcs11.so
export HOME=$work XDG_CACHE_HOME=$work/cache # OpenSC keeps files of cards there

# start_cards NAME OPTION…: a simulator; the programs here then see its cards.
start_cards() {
  local name=$1
  shift
  mkfifo "$work/$name.commands"
  # It does not inherit the end that is written to, whose closing ends it.
  start "$name" bash -c 'exec "$@" < "$0"' "$work/$name.commands" "$simulator" "$@"
  exec {commands}> "$work/$name.commands"
  eventually "$name" grep -qx ready "$work/$name.log" || fail "$name did not start"
  simulating=$name
  export "$(grep ^PCSCLITE_CSOCK_NAME= "$work/$name.log")"
}

stop_cards() {
  stop "$simulating"
  exec {commands}>&-
}

# sim COMMAND…: prints the simulator's answer.
sim() {
  local log=$work/$simulating.log lines
  lines=$(wc -l < "$log")
  echo "$*" >&"$commands"
  eventually "$simulating" answered "$log" "$lines" || fail "no answer to: $*"
  tail -n 1 "$log"
}
answered() { [ "$(wc -l < "$1")" -gt "$2" ]; }

# piv OPTION…: with the card in reader $card; what it says is in $work/said.
card=0
piv() {
  yubico-piv-tool --reader "test reader $card" "$@" > "$work/said" 2>&1
}

# says TEXT: of the last piv, which must have gone well.
says() { grep -qF -- "$1" "$work/said" || fail "not \"$1\": $(cat "$work/said")"; }

# refused TEXT OPTION…: piv must fail, saying TEXT.
refused() {
  local text=$1
  shift
  if piv "$@"; then fail "nobody refused: $*"; fi
  says "$text"
}

ok() {
  piv "$@" || fail "$* failed: $(cat "$work/said")"
}

pkcs11() {
  pkcs11-tool --module "$module" "$@" > "$work/said" 2>&1 || fail "pkcs11-tool $*: $(cat "$work/said")"
}

# certify NAME KEY SUBJECT: a certificate of the authority here for a public key.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ca.key" \
  -subj "/CN=Conformance" -days 30 -out "$work/ca.pem" 2> "$work/openssl.log"
certify() {
  openssl x509 -new -force_pubkey "$2" -CA "$work/ca.pem" -CAkey "$work/ca.key" -subj "$3" -days 30 \
    -out "$work/$1.pem" 2> "$work/openssl.log"
}

# generate SLOT ALGORITHM [OPTION…]: a key, its public half in SLOT.pub, and its certificate on the card.
generate() {
  local slot=$1 algorithm=$2
  shift 2
  ok -s "$slot" -a generate -A "$algorithm" -o "$work/$slot.pub" "$@"
  certify "$slot" "$work/$slot.pub" "/CN=Slot $slot"
  ok -s "$slot" -a import-certificate -i "$work/$slot.pem"
}

start_cards cards --cards=2 --first-serial=4711 --firmware=5.4.3 --state-dir="$work/state" \
  --attestation-root="$work/root.der"
openssl x509 -inform DER -in "$work/root.der" -out "$work/root.pem"

# --- What a new card is -----------------------------------------------------------------------------
for card in 0 1; do
  ok -a status
  says $'Version:\t5.4.3'
  says $'Serial Number:\t'$((4711 + card))
  says $'PIN tries left:\t3'
  says $'CHUID:\tNo data available'
done
card=0
ok -a set-chuid -a set-ccc
ok -a status
says $'CHUID:\t3019'
says $'CCC:\tf015'

# --- Keys made on the card --------------------------------------------------------------------------
declare -A made=([9a]=ECCP256 [9c]=ECCP384 [9d]=RSA2048 [9e]=ECCP256 [82]=RSA1024 [95]=ECCP384)
for slot in "${!made[@]}"; do
  generate "$slot" "${made[$slot]}"
  ok -a verify-pin -P 123456 -s "$slot" -a test-signature -i "$work/$slot.pem"
  says Successful
  ok -a verify-pin -P 123456 -s "$slot" -a test-decipher -i "$work/$slot.pem"
  says Successfully
  ok -s "$slot" -a read-certificate
  cmp <(openssl x509 -in "$work/said") "$work/$slot.pem"
  openssl verify -CAfile "$work/ca.pem" "$work/said" > "$work/verified"
done
refused 'Failed signing' -s 9a -a test-signature -i "$work/9a.pem" # without the PIN
ok -s 9e -a test-signature -i "$work/9e.pem"
ok -a status
for slot in "${!made[@]}"; do
  says "Slot $slot:"
  says "CN=Slot $slot"
done
refused 'Failed authentication' --key=010203040506070801020304050607080102030405060718 -s 9a -a generate -A ECCP256

# --- Attestation ------------------------------------------------------------------------------------
# The chain from a statement over the card's certificate to the root, and what the statement says.
ok -s f9 -a read-certificate
cp "$work/said" "$work/f9.pem"
openssl verify -x509_strict -CAfile "$work/root.pem" "$work/f9.pem" > "$work/verified"
for slot in "${!made[@]}"; do
  ok -s "$slot" -a attest
  cp "$work/said" "$work/statement.pem"
  openssl verify -CAfile "$work/root.pem" -untrusted "$work/f9.pem" "$work/statement.pem" \
    > "$work/verified" 2>&1 || fail "the attestation of $slot: $(cat "$work/verified")"
  cmp <(openssl x509 -in "$work/statement.pem" -noout -pubkey) "$work/$slot.pub"
  openssl x509 -in "$work/statement.pem" -outform DER | openssl asn1parse -inform DER \
    > "$work/statement.asn1"
  extension() {
    grep -A1 ":1.3.6.1.4.1.41482.3.$1\$" "$work/statement.asn1" | sed -nE 's/.*DUMP\]:(.*)/\1/p'
  }
  [ "$(extension 3)" = 050403 ]
  [ "$(extension 7)" = 02021267 ]
  case $slot in 9c) pin=03 ;; 9e) pin=01 ;; *) pin=02 ;; esac
  [ "$(extension 8)" = "${pin}01" ]
  [ "$(extension 9)" = 01 ]
done
ok -s 83 -a generate -A ECCP256 --pin-policy=always --touch-policy=cached -o "$work/83.pub"
ok -s 83 -a attest
grep -q . "$work/said"
openssl x509 -in "$work/said" -outform DER | openssl asn1parse -inform DER > "$work/statement.asn1"
[ "$(extension 8)" = 0303 ]
refused 'Failed to attest' -s 84 -a attest

# --- OpenSC -----------------------------------------------------------------------------------------
pkcs15-tool --reader 0 --list-certificates --list-public-keys --list-pins > "$work/said" 2>&1
for text in 'Certificate for PIV Authentication' 'Certificate for Digital Signature' \
  'Certificate for Key Management' 'Certificate for Card Authentication' 'PIV AUTH pubkey' \
  'SIGN pubkey' 'KEY MAN pubkey' 'CARD AUTH pubkey' 'PIN [PIN]' 'PIN [PIV PUK]'; do
  says "$text"
done
declare -A id_of=([9a]=01 [9c]=02 [9d]=03 [9e]=04)
for slot in "${!id_of[@]}"; do
  pkcs15-tool --reader 0 --read-certificate "${id_of[$slot]}" 2> "$work/openssl.log" \
    | openssl x509 | cmp - "$work/$slot.pem"
done
echo 'What is signed' > "$work/message"
# sign SLOT MECHANISM DIGEST [OPTION…]: by OpenSC, judged by openssl.
sign() {
  local slot=$1 mechanism=$2 digest=$3
  shift 3
  pkcs11 --login --pin 123456 --sign --id "${id_of[$slot]}" --mechanism "$mechanism" \
    --input-file "$work/message" --output-file "$work/signature" --signature-format openssl
  openssl dgst "-$digest" "$@" -verify "$work/$slot.pub" -signature "$work/signature" \
    "$work/message" > "$work/verified"
}
sign 9a ECDSA-SHA256 sha256
sign 9c ECDSA-SHA384 sha384
sign 9e ECDSA-SHA1 sha1 # shorter than the field
openssl pkeyutl -encrypt -pubin -inkey "$work/9d.pub" -in "$work/message" -out "$work/secret"
pkcs11 --login --pin 123456 --decrypt --id 03 --mechanism RSA-PKCS --input-file "$work/secret" \
  --output-file "$work/opened"
cmp "$work/message" "$work/opened"
if pkcs11-tool --module "$module" --login --pin 000000 --sign --id 01 --mechanism ECDSA-SHA256 \
  --input-file "$work/message" --output-file "$work/signature" > "$work/said" 2>&1; then
  fail "signed with a wrong PIN"
fi
[ "$(sim tries 0)" = '2 3' ]
sign 9a ECDSA-SHA256 sha256
[ "$(sim tries 0)" = '3 3' ]

generate 9a RSA2048
sign 9a SHA256-RSA-PKCS sha256
sign 9a SHA256-RSA-PKCS-PSS sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
generate 9a ECCP256

# A Diffie-Hellman exchange with openssl.
generate 9d ECCP256
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/peer.key"
openssl pkey -in "$work/peer.key" -pubout -outform DER -out "$work/peer.der"
pkcs11 --login --pin 123456 --derive --id 03 --mechanism ECDH1-DERIVE --input-file "$work/peer.der" \
  --output-file "$work/shared"
openssl pkeyutl -derive -inkey "$work/peer.key" -peerkey "$work/9d.pub" | cmp - "$work/shared"

# A certificate that the card has signed: openssl's, of which the signature is taken from the card.
der_length() {
  if [ "$1" -lt 128 ]; then
    printf '%02x' "$1"
  elif [ "$1" -lt 256 ]; then
    printf '81%02x' "$1"
  else
    printf '82%04x' "$1"
  fi
}
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/leaf.key"
openssl pkey -in "$work/leaf.key" -pubout -out "$work/leaf.pub"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/stand-in.key" \
  -subj "/CN=On the card" -days 30 -out "$work/stand-in.pem" 2> "$work/openssl.log"
openssl x509 -new -force_pubkey "$work/leaf.pub" -CA "$work/stand-in.pem" -CAkey "$work/stand-in.key" \
  -subj "/CN=Leaf" -days 30 -outform DER -out "$work/leaf.der"
openssl asn1parse -inform DER -in "$work/leaf.der" -strparse 4 -out "$work/tbs" > "$work/openssl.log"
cp "$work/tbs" "$work/message"
sign 9a ECDSA-SHA256 sha256
ecdsa_sha256=300a06082a8648ce3d040302
bits=03$(der_length $(($(stat -c %s "$work/signature") + 1)))00$(hex "$work/signature")
inside=$(hex "$work/tbs")$ecdsa_sha256$bits
printf '%b' "$(sed 's/../\\x&/g' <<< "30$(der_length $((${#inside} / 2)))$inside")" > "$work/leaf.der"
openssl x509 -inform DER -in "$work/leaf.der" -out "$work/leaf.pem"
openssl x509 -new -force_pubkey "$work/9a.pub" -signkey "$work/stand-in.key" -subj "/CN=On the card" -days 30 \
  -out "$work/issuer.pem" 2> "$work/openssl.log"
openssl verify -partial_chain -trusted "$work/issuer.pem" "$work/leaf.pem" > "$work/verified"
if openssl verify -partial_chain -trusted "$work/stand-in.pem" "$work/leaf.pem" > "$work/verified" 2>&1; then
  fail "the card's signature is good for another key"
fi

# --- Keys from elsewhere ----------------------------------------------------------------------------
for key in rsa1024:82 rsa2048:82 p256:83 p384:84; do
  slot=${key#*:}
  case $key in
    rsa*) kind=${key%:*} && openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${kind#rsa}" \
      -out "$work/imported.key" 2> "$work/openssl.log" ;;
    p*) kind=${key%:*} && openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:P-${kind#p}" \
      -out "$work/imported.key" ;;
  esac
  openssl pkey -in "$work/imported.key" -pubout -out "$work/imported.pub"
  ok -s "$slot" -a import-key -i "$work/imported.key"
  certify imported "$work/imported.pub" "/CN=Imported $kind"
  ok -s "$slot" -a import-certificate -i "$work/imported.pem"
  ok -a verify-pin -P 123456 -s "$slot" -a test-signature -i "$work/imported.pem"
  ok -a verify-pin -P 123456 -s "$slot" -a test-decipher -i "$work/imported.pem"
  refused 'Failed to attest' -s "$slot" -a attest
done
ok -s 84 -a delete-certificate
refused 'Failed fetching' -s 84 -a read-certificate

# --- PIN, PUK and management key --------------------------------------------------------------------
refused '2 tries left' -a verify-pin -P 000000
[ "$(sim tries 0)" = '2 3' ]
ok -a change-pin -P 123456 -N 654321
ok -a verify-pin -P 654321
refused '2 tries left' -a change-puk -P 00000000 -N 87654321
[ "$(sim tries 0)" = '3 2' ]
ok -a change-puk -P 12345678 -N 87654321
for _ in 1 2 3; do refused Pin -a verify-pin -P 000000; done
refused 'blocked' -a verify-pin -P 654321
[ "$(sim tries 0)" = '0 3' ]
ok -a unblock-pin -P 87654321 -N 222222
ok -a verify-pin -P 222222
[ "$(sim tries 0)" = '3 3' ]

key=0123456789abcdeffedcba98765432100011223344556677
ok -a set-mgm-key -n "$key"
refused 'Failed authentication' -s 9a -a generate -A ECCP256
ok --key="$key" -s 85 -a generate -A ECCP256 -o "$work/85.pub"
ok --key="$key" -a verify-pin -P 222222 -a pin-retries --pin-retries=5 --puk-retries=8
[ "$(sim tries 0)" = '5 8' ]
ok -a verify-pin -P 123456
echo 'an object' > "$work/object"
ok --key="$key" -a write-object --id 0x5fff10 -f binary -i "$work/object"
ok -a read-object --id 0x5fff10 -f binary -o "$work/object.read"
cmp "$work/object" "$work/object.read"

# --- Faults, and cards that go ----------------------------------------------------------------------
[ "$(sim fault 0 status ins=87 sw=6f00)" = ok ]
refused 'Failed signing' -a verify-pin -P 123456 -s 9a -a test-signature -i "$work/9a.pem"
ok -a verify-pin -P 123456 -s 9a -a test-signature -i "$work/9a.pem"
ok --key="$key" -s 86 -a generate -A ECCP256 --pin-policy=never --touch-policy=always -o "$work/86.pub"
certify 86 "$work/86.pub" "/CN=Touched"
ok -s 86 -a test-signature -i "$work/86.pem"
[ "$(sim fault 0 touch-timeout)" = ok ]
refused 'Failed signing' -s 86 -a test-signature -i "$work/86.pem"
ok -s 86 -a test-signature -i "$work/86.pem"
before=$(sim commands 0 20)
ok -a verify-pin -P 123456
[ "$(sim commands 0 20)" = $((before + 2)) ] # whether it is verified, and VERIFY
[ "$(sim fault 0 remove-before ins=87)" = ok ]
refused 'Failed signing' -a verify-pin -P 123456 -s 9a -a test-signature -i "$work/9a.pem"
refused 'Failed to connect' -a status
card=1 ok -a status
[ "$(sim insert 0)" = ok ]
comes_back() { piv -a status; }
eventually cards comes_back || fail "card 0 does not come back"
ok -a verify-pin -P 123456 -s 9a -a test-signature -i "$work/9a.pem"
[ "$(sim remove 1)" = ok ]
gone() { ! card=1 piv -a status; }
eventually cards gone || fail "card 1 is still there"
[ "$(sim remove 2)" = 'error: no such command or card; see --help' ]

[ "$(sim restart)" = ok ]
eventually cards comes_back || fail "card 0 does not find the new pcscd"
gone || fail "card 1 is back"

# What it remembers, it remembers for the next simulator.
stop_cards
[ ! -e "$(dirname "$PCSCLITE_CSOCK_NAME")" ] || fail "the simulator left a folder"
start_cards again --cards=1 --first-serial=4711 --firmware=5.7.1 --state-dir="$work/state"
ok -a status
says $'Version:\t5.4.3'
says $'PIN tries left:\t5'
ok -a verify-pin -P 123456 -s 9a -a test-signature -i "$work/9a.pem"

# --- Reset ------------------------------------------------------------------------------------------
refused 'Reset failed' -a reset
for _ in 1 2 3 4 5; do refused Pin -a verify-pin -P 000000; done
refused 'Reset failed' -a reset
for _ in 1 2 3 4 5 6 7 8; do refused 'puk code' -a unblock-pin -P 00000000 -N 222222; done
[ "$(sim tries 0)" = '0 0' ]
ok -a reset
ok -a status
says $'PIN tries left:\t3'
says $'CHUID:\tNo data available'
ok -s 9a -a generate -A ECCP256 -o "$work/9a.pub"
stop_cards

# --- An old one -------------------------------------------------------------------------------------
start_cards old --cards=1 --first-serial=815 --firmware=4.3.5 --attestation-root="$work/root.der"
ok -a status
says $'Version:\t4.3.5'
says $'Serial Number:\t815'
generate 9a ECCP256
ok -a verify-pin -P 123456 -s 9a -a test-signature -i "$work/9a.pem"
ok -s f9 -a read-certificate
cp "$work/said" "$work/f9.pem"
openssl x509 -in "$work/f9.pem" -noout -text | grep -q 'Public-Key: (2048 bit)'
ok -s 9a -a attest
openssl verify -CAfile "$work/root.pem" -untrusted "$work/f9.pem" "$work/said" > "$work/verified"
sign 9a ECDSA-SHA256 sha256
stop_cards

# 2.2.0 does not know AES, which a new card's management key is for.
start_cards new --cards=1 --firmware=5.7.1
ok -a status
says $'Version:\t5.7.1'
refused 'Failed authentication' -s 9a -a generate -A ECCP256
exec {commands}>&-
wait "${pid_of[new]}" || fail "the simulator did not end well with its input"
unset 'pid_of[new]'
echo "All agree."
