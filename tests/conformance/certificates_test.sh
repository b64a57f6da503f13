#!/usr/bin/env bash
# Certificates, CRLs and OCSP responses of a whole suite, judged by programs that share no code with
# it: openssl, GnuTLS, Go's crypto/x509 and golang.org/x/crypto/ocsp, zlint. And what must not be issued.
source "$TEST_SRCDIR/$TEST_WORKSPACE/tests/conformance/peers.sh"
set -E # a function that fails says where
require openssl certtool ocsptool pki-check zlint curl jq
data=$work/data

cs() { "$countersign" --data "$data" "$@"; }

start up "$countersign" --data "$data" up --any-port --witnesses 0 --bin-dir "$bin_dir" \
  --ready-file "$work/ready"
eventually up test -s "$work/ready" || fail "the suite did not start"
gateway=http://$(jq -er .gateway "$data/endpoints.json")
responder=http://$(jq -er .ocsp_http "$data/endpoints.json")

# refused COMMAND…: it must fail.
refused() {
  if "$@" > "$work/refusal" 2>&1; then fail "nobody refused: $*"; fi
}

# --- Authorities ----------------------------------------------------------------------------------
# One hierarchy for all profiles, and a root of each other algorithm.
cs ca create root --subject "CN=Conformance Root,O=Example,C=DE" --public-url "$gateway" \
  > "$work/said"
cs ca create web --subject "CN=Conformance Issuing,O=Example,C=DE" --issuer root \
  --public-url "$gateway" --ocsp-nonces --permit example.com --permit 192.0.2.0/24 \
  --permit 2001:db8::/32 --permit @example.com --permit uri:.example.com > "$work/said"
cs ca get root --pem > "$work/root.pem"
cs ca get web --pem > "$work/web-chain.pem"
openssl x509 -in "$work/web-chain.pem" -out "$work/web.pem"
others=(rsa-pkcs1-2048-sha256 rsa-pss-3072-sha256 ecdsa-p384-sha384 ed25519)
for algorithm in "${others[@]}"; do
  cs ca create "$algorithm" --subject "CN=Root $algorithm" --algorithm "$algorithm" \
    --public-url "$gateway" --crl-shards 2 > "$work/said"
  cs ca get "$algorithm" --pem > "$work/$algorithm.pem"
done
refused cs ca create below --subject "CN=Below" --issuer web
grep -q 'path length' "$work/refusal" || fail "$(cat "$work/refusal")"

# --- Certificates of every profile and kind of key ------------------------------------------------
new_key() {
  case $1 in
    rsa*) openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:${1#rsa}" -out "$2" ;;
    p*) openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:P-${1#p}" -out "$2" ;;
    ed25519) openssl genpkey -algorithm ED25519 -out "$2" ;;
  esac 2> "$work/openssl.log"
}

# csr NAME KEY SUBJECT [NAMES] [OPTION…]: by openssl, for a new key.
csr() {
  local name=$1 key=$2 subject=$3 names=${4-}
  new_key "$key" "$work/$name.key"
  openssl req -new -key "$work/$name.key" -subj "$subject" ${names:+-addext "subjectAltName=$names"} \
    -out "$work/$name.csr" "${@:5}"
}

# issue NAME CA PROFILE [OPTION…]
issue() {
  local name=$1 ca=$2 profile=$3
  shift 3
  cs cert issue "$work/$name.csr" --ca "$ca" --profile "$profile" --json "$@" > "$work/$name.json" \
    || fail "$name: $(cat "$work/$name.json")"
  serial[$name]=$(jq -er .certificate.serialNumber "$work/$name.json")
  issued+=("$name")
}

declare -A serial=() profile_of=() usage_of=(
  [tls-server]=server [tls-client]=client [code-signing]=code [intermediate-ca]=any
  [ocsp-signer]=ocsp [short-lived]=server)
issued=()
for key in rsa2048 rsa3072 p256 p384 ed25519; do
  for profile in "${!usage_of[@]}"; do
    name=$profile-$key names='' subject=/ ca=web
    case $profile in
      tls-server | short-lived)
        subject=/CN=$name.example.com
        names=DNS:$name.example.com,DNS:*.$name.example.com,IP:192.0.2.7,IP:2001:db8::7 ;;
      tls-client)
        names=email:$key@example.com,URI:https://www.example.com/$key ;;
      code-signing)
        [ "$key" != rsa2048 ] || continue # too short for it
        subject="/C=DE/O=Example Ltd/CN=Release $key" ;;
      intermediate-ca)
        ca=root subject=/CN=Below-$key ;;
      ocsp-signer)
        subject=/CN=OCSP-$key ;;
    esac
    csr "$name" "$key" "$subject" "$names"
    issue "$name" "$ca" "$profile"
    profile_of[$name]=$profile
  done
done
# One that is told by its names alone, without a subject.
csr nameless p256 / DNS:nameless.example.com
issue nameless web tls-server
profile_of[nameless]=tls-server
for algorithm in "${others[@]}"; do
  csr "leaf-$algorithm" p256 / "DNS:leaf.example.org"
  issue "leaf-$algorithm" "$algorithm" tls-server
  csr "gone-$algorithm" p256 / "DNS:gone.example.org"
  issue "gone-$algorithm" "$algorithm" tls-server
done

# chain_of NAME: sets root and issuer of a certificate.
chain_of() {
  case $1 in
    leaf-* | gone-*) issuer=$work/${1#*-}.pem root=$issuer ;;
    intermediate-ca-*) issuer=$work/root.pem root=$issuer ;;
    *) issuer=$work/web.pem root=$work/root.pem ;;
  esac
}

for name in "${issued[@]}"; do
  chain_of "$name"
  leaf=$work/$name.cert.pem
  purpose=(-x509_strict)
  case $name in
    tls-server-* | short-lived-*) purpose+=(-purpose sslserver -verify_hostname "$name.example.com") ;;
    tls-client-*) purpose+=(-purpose sslclient) ;;
  esac
  openssl verify "${purpose[@]}" -CAfile "$root" -untrusted "$issuer" "$leaf" > "$work/said"
  certtool --verify --load-ca-certificate "$root" --infile "$work/$name.chain.pem" \
    > "$work/said" 2>&1 || fail "certtool on $name: $(tail -n 5 "$work/said")"
  host=()
  case $name in tls-server-* | short-lived-*) host=(-host "x.$name.example.com") ;; esac
  pki-check chain -root "$root" -chain "$issuer" "${host[@]}" \
    -usage "${usage_of[${profile_of[$name]-tls-server}]}" "$leaf"
  cmp <(openssl pkey -in "$work/$name.key" -pubout) <(openssl x509 -in "$leaf" -noout -pubkey)
done

# --- zlint ----------------------------------------------------------------------------------------
# RFC 5280 and the RFCs of algorithms and names hold for every certificate. The CA/Browser Forum's
# Baseline Requirements are for TLS servers of public authorities: all of them hold for tls-server too,
# but those that ask for a public authority's policy OIDs, which ours has none of, and for public
# addresses, where these here are for documentation. Those of code signing and of S/MIME ask for the like.
rfcs=RFC3279,RFC5280,RFC5480,RFC5891,RFC8813
public=e_sub_cert_cert_policy_empty,e_sub_cert_certificate_policies_missing
public+=,e_ext_san_contains_reserved_ip
lint() {
  zlint "${@:2}" "$1" | jq -r 'to_entries[] | select(.value.result == ("error", "fatal")) | .key'
}
for file in "$work"/{root,web}.pem "$work"/*.cert.pem "${others[@]/#/$work/}"; do
  [ -f "$file" ] || file=$file.pem
  lint "$file" -includeSources "$rfcs" > "$work/lint"
  [ ! -s "$work/lint" ] || fail "$file: $(cat "$work/lint")"
done
for name in "${issued[@]}"; do
  [ "${profile_of[$name]-}" = tls-server ] || continue
  case $name in *ed25519) continue ;; esac # the Baseline Requirements allow RSA and NIST curves alone
  lint "$work/$name.cert.pem" -includeSources CABF_BR -excludeNames "$public" > "$work/lint"
  [ ! -s "$work/lint" ] || fail "$name: $(cat "$work/lint")"
done
openssl req -x509 -key "$work/nameless.key" -subj /CN=x -days 1 -set_serial 0 -out "$work/bad.pem"
[ -n "$(lint "$work/bad.pem" -includeSources "$rfcs")" ] || fail "zlint finds nothing wrong with serial 0"

# --- OCSP -----------------------------------------------------------------------------------------
# ask STATUS ISSUER CERTIFICATE ROOT URL [OPTION…]: by openssl's POST.
ask() {
  local status=$1 issuer=$2 leaf=$3 root=$4 url=$5
  shift 5
  openssl ocsp "$@" -issuer "$issuer" -cert "$leaf" -url "$url" -CAfile "$root" \
    -respout "$work/response" > "$work/said" 2>&1 || fail "openssl ocsp $*: $(cat "$work/said")"
  grep -q '^Response verify OK' "$work/said" && grep -q ": $status\$" "$work/said" \
    || fail "not $status: $(cat "$work/said")"
}

# get STATUS ISSUER CERTIFICATE ROOT: by curl's GET, as bytes, however its base64 is written.
get() {
  local status=$1 issuer=$2 leaf=$3 root=$4 hash base64 path url
  for hash in sha1 sha256; do
    openssl ocsp "-$hash" -issuer "$issuer" -cert "$leaf" -no_nonce -reqout "$work/request"
    base64=$(base64 -w0 "$work/request")
    curl -sf "$gateway/ocsp" -H 'Content-Type: application/ocsp-request' \
      --data-binary "@$work/request" -o "$work/posted"
    for path in "$base64" "$(jq -rn --arg b "$base64" '$b | @uri')" "${base64//\//%2f}" "/$base64"; do
      for url in "$gateway" "$responder"; do
        curl -sf --path-as-is "$url/ocsp/$path" -o "$work/got" || fail "GET $url/ocsp/$path"
        cmp "$work/got" "$work/posted" || fail "GET and POST of $leaf differ"
      done
    done
    openssl ocsp "-$hash" -respin "$work/got" -issuer "$issuer" -cert "$leaf" -CAfile "$root" \
      -no_nonce > "$work/said" 2>&1
    grep -q ": $status\$" "$work/said" || fail "GET: not $status: $(cat "$work/said")"
  done
}

# says STATUS REASON NAME: openssl, GnuTLS, Go and the command line agree.
says() {
  local status=$1 reason=$2 name=$3 nonce hash method wanted=0
  chain_of "$name"
  local leaf=$work/$name.cert.pem
  for hash in sha1 sha256; do
    ask "$status" "$issuer" "$leaf" "$root" "$gateway/ocsp" "-$hash" -no_nonce
    ask "$status" "$issuer" "$leaf" "$root" "$responder/ocsp" "-$hash" -nonce
    for method in '' -get; do
      pki-check ocsp -issuer "$issuer" -url "$gateway/ocsp" -expect "$status" -reason "$reason" \
        -hash "$hash" $method "$leaf"
    done
  done
  for nonce in --no-nonce --nonce; do
    # One that is asked for and does not come is an error to ocsptool; only `web` answers them.
    if [ "$nonce" = --nonce ] && [ "$issuer" != "$work/web.pem" ]; then continue; fi
    ocsptool --ask="$gateway/ocsp" "$nonce" --load-cert "$leaf" --load-issuer "$issuer" \
      --load-trust "$issuer" > "$work/said" 2>&1 || true
    grep -q 'OCSP Response Information' "$work/said" \
      && grep -q "Certificate Status: $status" "$work/said" \
      && grep -q 'Verifying OCSP Response: Success' "$work/said" || fail "ocsptool: $(cat "$work/said")"
  done
  get "$status" "$issuer" "$leaf" "$root"
  [ "$status" = good ] || wanted=1
  for method in --url="$gateway/ocsp" --grpc; do
    local exit_code=0
    cs ocsp status "$leaf" --issuer "$issuer" "$method" > "$work/said" || exit_code=$?
    [ "$exit_code" = "$wanted" ] || fail "ocsp status of $name: $exit_code"
  done
}

says good 0 tls-server-p256
says good 0 intermediate-ca-p256
for algorithm in "${others[@]}"; do says good 0 "leaf-$algorithm"; done

# A nonce comes back, signed for this question, and no cache keeps it.
openssl ocsp -issuer "$work/web.pem" -cert "$work/nameless.cert.pem" -nonce -reqout "$work/request"
curl -sf -D "$work/headers" "$gateway/ocsp" -H 'Content-Type: application/ocsp-request' \
  --data-binary "@$work/request" -o "$work/got"
openssl ocsp -reqin "$work/request" -respin "$work/got" -CAfile "$work/root.pem" \
  -verify_other "$work/web.pem" > "$work/said" 2>&1
grep -q 'Response verify OK' "$work/said" || fail "$(cat "$work/said")"
if grep -qi 'no nonce' "$work/said"; then fail "the nonce did not come back"; fi
if grep -qiE '^cache-control:.*max-age=[1-9]' "$work/headers"; then fail "$(cat "$work/headers")"; fi

# Two certificates in one request are both answered.
ask good "$work/web.pem" "$work/nameless.cert.pem" "$work/root.pem" "$gateway/ocsp" -no_nonce \
  -issuer "$work/web.pem" -cert "$work/tls-server-p384.cert.pem"
[ "$(grep -c ': good$' "$work/said")" = 2 ] || fail "not both: $(cat "$work/said")"

# Never good for a serial that was never issued, nor for another issuer's.
openssl ocsp -issuer "$work/web.pem" -serial 0x1234567890abcdef -no_nonce -url "$gateway/ocsp" \
  > "$work/said" 2>&1 || true
grep -q 'unauthorized (6)' "$work/said" || fail "$(cat "$work/said")"
openssl ocsp -issuer "$work/root.pem" -serial "0x${serial[nameless]}" -no_nonce -url "$gateway/ocsp" \
  > "$work/said" 2>&1 || true
grep -q 'unauthorized (6)' "$work/said" || fail "$(cat "$work/said")"
printf 'no request' > "$work/request"
curl -sf "$gateway/ocsp" -H 'Content-Type: application/ocsp-request' --data-binary "@$work/request" \
  -o "$work/got"
cmp "$work/got" <(printf '\x30\x03\x0a\x01\x01') || fail "garbage is no malformedRequest"

# --- Revocation -----------------------------------------------------------------------------------
declare -A reason_of=([tls-server-rsa2048]=1 [tls-client-p256]=3 [code-signing-p384]=5 [nameless]=0
  [intermediate-ca-p384]=4 [tls-server-ed25519]=6)
names=([0]=unspecified [1]=key-compromise [3]=affiliation-changed [4]=superseded
  [5]=cessation-of-operation [6]=certificate-hold)
for algorithm in "${others[@]}"; do reason_of[gone-$algorithm]=1; done
cs ca crl web --out "$work/before.crl" > "$work/said"
before=$(pki-check crl -issuer "$work/web.pem" "$work/before.crl")
for name in "${!reason_of[@]}"; do
  cs cert revoke "$work/$name.cert.pem" --reason "${names[${reason_of[$name]}]}" > "$work/said"
  says revoked "${reason_of[$name]}" "$name"
done
says good 0 tls-server-p256

# --- CRLs -----------------------------------------------------------------------------------------
for ca in root web "${others[@]}"; do cs ca crl "$ca" --publish > "$work/said"; done
# crl NAME: the one that the certificate points to, over HTTP; sets crl.
crl() {
  local url
  url=$(openssl x509 -in "$work/$1.cert.pem" -noout -ext crlDistributionPoints \
    | sed -nE 's/^ *URI:(.*)/\1/p')
  crl=$work/$1.crl
  curl -sf -D "$work/headers" "$url" -o "$crl" || fail "no CRL at $url"
  grep -qi '^content-type: application/pkix-crl' "$work/headers" || fail "$(cat "$work/headers")"
}
for name in "${issued[@]}"; do
  case $name in short-lived-* | ocsp-signer-*) continue ;; esac # they point to none
  chain_of "$name"
  crl "$name"
  openssl crl -inform DER -in "$crl" -CAfile "$issuer" -noout > "$work/said" 2>&1
  grep -q 'verify OK' "$work/said" || fail "openssl crl: $(cat "$work/said")"
  openssl crl -inform DER -in "$crl" -out "$crl.pem"
  certtool --verify-crl --load-ca-certificate "$issuer" --infile "$crl.pem" > "$work/said" 2>&1 \
    || fail "certtool on the CRL of $name: $(cat "$work/said")"
  shard=() listed=(-absent "${serial[$name]}") check=(openssl verify)
  case $name in leaf-* | gone-*) shard=(-shard) ;; esac
  if [ -n "${reason_of[$name]-}" ]; then
    listed=(-revoked "${serial[$name]}=${reason_of[$name]}") check=(refused openssl verify)
  fi
  pki-check crl -issuer "$issuer" "${shard[@]}" "${listed[@]}" "$crl" > "$work/number"
  "${check[@]}" -crl_check -CRLfile "$crl.pem" -CAfile "$root" -untrusted "$issuer" \
    "$work/$name.cert.pem" > "$work/said" 2>&1 || fail "$name: $(cat "$work/said")"
done
crl nameless
pki-check crl -issuer "$work/web.pem" -above "$before" "$crl" > "$work/number"
# A hold ends: on neither any more.
cs cert release "$work/tls-server-ed25519.cert.pem" > "$work/said"
says good 0 tls-server-ed25519
cs ca crl web --publish --out "$work/after.crl" > "$work/said"
pki-check crl -issuer "$work/web.pem" -absent "${serial[tls-server-ed25519]}" "$work/after.crl" \
  > "$work/number"

# The issuers' certificates are where the certificates say.
url=$(openssl x509 -in "$work/nameless.cert.pem" -noout -ext authorityInfoAccess \
  | sed -nE 's/^ *CA Issuers - URI:(.*)/\1/p')
curl -sf "$url" -o "$work/issuer.der"
cmp "$work/issuer.der" <(openssl x509 -in "$work/web.pem" -outform DER)

# A delegate that was rotated answers as the one before.
cs ca rotate-ocsp-signer web > "$work/said"
says good 0 tls-server-p256
says revoked 1 tls-server-rsa2048

# --- Authorities of others, and cross-certification -----------------------------------------------
printf 'a long passphrase\n' > "$work/passphrase"
for by in openssl gnutls pem; do
  new_key p256 "$work/by-$by.key"
  openssl req -x509 -key "$work/by-$by.key" -subj "/CN=Root by $by" -days 3650 -out "$work/by-$by.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  case $by in
    openssl)
      openssl pkcs12 -export -in "$work/by-$by.pem" -inkey "$work/by-$by.key" \
        -passout "file:$work/passphrase" -out "$work/by-$by.file" ;;
    gnutls) # of its PBES2 the PRF lacks the NULL that RFC 8018 asks for, which BoringSSL insists on
      certtool --to-p12 --pkcs-cipher=3des-pkcs12 --load-privkey "$work/by-$by.key" \
        --load-certificate "$work/by-$by.pem" \
        --p12-name root --password 'a long passphrase' --outder --outfile "$work/by-$by.file" \
        2> "$work/said" ;;
    pem)
      cat "$work/by-$by.key" "$work/by-$by.pem" > "$work/by-$by.file" ;;
  esac
  if [ "$by" != pem ]; then refused cs ca import "by-$by" "$work/by-$by.file"; fi
  cs ca import "by-$by" "$work/by-$by.file" --passphrase-file "$work/passphrase" \
    --public-url "$gateway" > "$work/said"
  csr "leaf-by-$by" p256 / DNS:leaf.example.net
  issue "leaf-by-$by" "by-$by" tls-server
  openssl verify -x509_strict -CAfile "$work/by-$by.pem" "$work/leaf-by-$by.cert.pem" > "$work/said"
  says good 0 "leaf-by-$by"
done
refused cs ca export by-pem --include-key # the service was not told to allow it
cs ca export web --out "$work/exported.pem" > "$work/said"
cmp <(openssl x509 -in "$work/exported.pem") "$work/web.pem"
cs ca cross-sign ecdsa-p384-sha384 --subject-ca root --out "$work/cross.pem" > "$work/said"
cat "$work/cross.pem" "$work/web.pem" > "$work/crossed.pem"
openssl verify -CAfile "$work/ecdsa-p384-sha384.pem" -untrusted "$work/crossed.pem" \
  "$work/tls-server-p256.cert.pem" > "$work/said"
pki-check chain -root "$work/ecdsa-p384-sha384.pem" -chain "$work/crossed.pem" -usage server \
  "$work/tls-server-p256.cert.pem"

# --- What must not be issued ----------------------------------------------------------------------
# not_issued REASON NAME CA PROFILE [OPTION…]: nothing is written.
not_issued() {
  local reason=$1 name=$2 ca=$3 profile=$4
  shift 4
  refused cs cert issue "$work/$name.csr" --ca "$ca" --profile "$profile" --json "$@"
  [ "$(grep -v '^countersign: ' "$work/refusal" | jq -r .error.reason)" = "$reason" ] \
    || fail "$name: not $reason: $(cat "$work/refusal")"
  [ ! -e "$work/$name.cert.pem" ] || fail "$name was issued"
}
csr forged p256 / DNS:forged.example.com
openssl req -in "$work/forged.csr" -outform DER -out "$work/forged.der"
printf '\x00' | dd of="$work/forged.der" bs=1 seek=$(($(stat -c %s "$work/forged.der") - 1)) \
  conv=notrunc status=none
mv "$work/forged.der" "$work/forged.csr"
not_issued BAD_CSR_SIGNATURE forged web tls-server
csr outside p256 / DNS:www.example.org
not_issued FORBIDDEN_NAME outside web tls-server
csr outside-ip p256 / DNS:www.example.com,IP:198.51.100.1
not_issued FORBIDDEN_NAME outside-ip web tls-server
csr mail p256 / email:a@example.com
not_issued PROFILE mail web tls-server
csr long p256 / DNS:long.example.com
not_issued BAD_VALIDITY long web tls-server --lifetime 399d
csr underscore p256 / DNS:a_b.example.com
not_issued BAD_NAME underscore web tls-server
csr short rsa1024 / DNS:short.example.com
not_issued WEAK_KEY short web tls-server
openssl genrsa -3 -out "$work/three.key" 2048 2> "$work/openssl.log"
openssl req -new -key "$work/three.key" -subj / -addext subjectAltName=DNS:three.example.com \
  -out "$work/three.csr"
not_issued WEAK_KEY three web tls-server
csr old rsa2048 / DNS:old.example.com -sha1
not_issued BAD_CSR_SIGNATURE old web tls-server
cs ca disable rsa-pkcs1-2048-sha256 > "$work/said"
csr late p256 / DNS:late.example.org
not_issued AUTHORITY_DISABLED late rsa-pkcs1-2048-sha256 tls-server
says good 0 leaf-rsa-pkcs1-2048-sha256

stop up
echo "All agree."
