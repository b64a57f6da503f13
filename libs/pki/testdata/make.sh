#!/bin/sh
# Makes the certificates and requests of this folder anew with openssl 3: `sh make.sh`. The keys are
# thrown away; tests take from the files what cannot be known before.
set -eu
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

cat > "$keys/config" <<'END'
[req]
distinguished_name = name
prompt = no
string_mask = utf8only
utf8 = yes
[name]
CN = unused
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[constrained]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
nameConstraints = critical, @subtrees
[subtrees]
permitted;DNS.0 = example.com
permitted;IP.0 = 10.0.0.0/255.0.0.0
permitted;IP.1 = 2001:db8::/ffff:ffff::
permitted;email.0 = .example.com
permitted;URI.0 = .example.com
permitted;dirName.0 = subtree
excluded;DNS.0 = secret.example.com
excluded;email.0 = root@mail.example.com
[subtree]
C = DE
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, decipherOnly, keyAgreement
extendedKeyUsage = serverAuth, clientAuth, 1.3.6.1.4.1.311.20.2.2
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always, issuer:always
authorityInfoAccess = OCSP;URI:http://ocsp.example.com/, caIssuers;URI:http://ca.example.com/ca.der
crlDistributionPoints = plain, reasoned
certificatePolicies = 2.23.140.1.2.1, @policy
tlsfeature = status_request
subjectAltName = @names
[plain]
fullname = URI:http://crl.example.com/1.crl
[reasoned]
fullname = URI:http://crl.example.com/2.crl
reasons = keyCompromise
[policy]
policyIdentifier = 1.3.6.1.4.1.32473.1
CPS.1 = http://example.com/cps
[names]
DNS.1 = www.example.com
DNS.2 = *.example.com
DNS.3 = xn--bcher-kva.example.com
IP.1 = 10.1.2.3
IP.2 = 2001:db8::17
email.1 = someone@mail.example.com
URI.1 = https://www.example.com/path?query
dirName.1 = directory
otherName.1 = 1.3.6.1.4.1.311.20.2.3;UTF8:someone@example.com
RID.1 = 1.2.3.4
[directory]
C = DE
O = Example
[ocsp]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
[old_strings]
distinguished_name = name
prompt = no
string_mask = pkix
utf8 = yes
[request]
subjectAltName = DNS:www.example.com, IP:2001:db8::1
keyUsage = digitalSignature
END
export OPENSSL_CONF="$keys/config"

key() { openssl genpkey -out "$keys/$1" -algorithm "$2" ${3:+-pkeyopt "$3"} 2> /dev/null; }
key p256 EC ec_paramgen_curve:P-256
key p384 EC ec_paramgen_curve:P-384
key p521 EC ec_paramgen_curve:P-521
key rsa RSA rsa_keygen_bits:2048
key ed25519 ED25519
key pss RSA-PSS rsa_keygen_bits:2048

# root FILE KEY SUBJECT [option…]: a self-signed certificate
root() {
  file=$1 key=$2 subject=$3
  shift 3
  openssl req -x509 -new -key "$keys/$key" -subj "$subject" -extensions root -days 36500 \
    -outform DER -out "$file" "$@"
}
pss='-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256'
root p256.der p256 "/C=DE/O=Example/CN=P-256 root" -sha256 -days 3650
root p256_sha384.der p256 "/CN=P-256 with SHA-384" -sha384
root p384.der p384 "/CN=P-384 root" -sha384
root p384_sha256.der p384 "/CN=P-384 with SHA-256" -sha256
root p521.der p521 "/CN=P-521 root" -sha512
root rsa.der rsa "/C=DE/O=Example/CN=RSA root/emailAddress=ca@example.com" -sha256
root rsa_sha384.der rsa "/CN=RSA with SHA-384" -sha384
root rsa_sha512.der rsa "/CN=RSA with SHA-512" -sha512
root rsa_sha1.der rsa "/CN=RSA with SHA-1" -sha1
root pss.der rsa "/CN=PSS root" -sha256 $pss
root pss_key.der pss "/CN=PSS key" -sha256 $pss
root ed25519.der ed25519 "/CN=Ed25519 root"
root utf8.der p256 "/C=DE/O=Käse, Möhren & Söhne/CN=Größe \\+ 鍵/OU=eins+UID=zwei" -sha256 -multivalue-rdn
openssl req -config "$keys/config" -section old_strings -x509 -new -key "$keys/p256" -days 36500 \
  -subj "/O=Käse/CN=鍵" -outform DER -out old_strings.der

# issued FILE SUBJECT EXTENSIONS ISSUER ISSUER_KEY: of a P-256 key
issued() {
  openssl req -new -key "$keys/p256" -subj "$2" -out "$keys/request"
  openssl x509 -req -in "$keys/request" -CA "$4" -CAkey "$keys/$5" -set_serial 0x00ab12 -sha256 \
    -days 3650 ${3:+-extfile "$keys/config" -extensions "$3"} -outform DER -out "$1" 2> /dev/null
}
issued v1.der "/CN=Version 1" "" rsa.der rsa
issued constrained.der "/C=DE/O=Example/CN=Constrained" constrained p384.der p384
issued server.der "/C=DE/O=Example/CN=www.example.com" server constrained.der p256
issued ocsp.der "/C=DE/CN=Responder" ocsp constrained.der p256

request() {
  file=$1 key=$2 subject=$3
  shift 3
  openssl req -new -key "$keys/$key" -subj "$subject" -out "$file" "$@"
}
request request_p256.pem p256 "/C=DE/O=Example/CN=www.example.com" -reqexts request
request request_rsa.der rsa "/CN=rsa.example.com" -outform DER
request request_ed25519.pem ed25519 "/" -reqexts request -newhdr
