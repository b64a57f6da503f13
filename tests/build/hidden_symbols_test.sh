#!/bin/sh
# BoringSSL is linked statically and hidden (docs/adr/0002): no binary may export one of its functions,
# where gRPC's calls of OpenSSL would find it, nor import one, which OpenSSL would then serve.
set -u

names='(EVP|SHA[0-9]+|ED25519|X25519|CRYPTO|X509|EC|ECDSA|RSA|BN|CBB|CBS|ERR|RAND|HMAC|AES|OPENSSL)_'
failed=0
for binary in "$@"; do
  symbols=$(nm -D "$binary") || exit 1
  # A binary without dynamic symbols would pass unseen.
  [ "$(echo "$symbols" | wc -l)" -gt 100 ] || { echo "$binary: nm shows almost no symbols"; failed=1; }
  shared=$(echo "$symbols" | grep -E " [A-Za-z] $names")
  [ -z "$shared" ] || { echo "$binary shares with its libraries:"; echo "$shared" | head; failed=1; }
done
[ "$#" -ge 6 ] || { echo "only $# binaries were checked"; failed=1; }
exit $failed
