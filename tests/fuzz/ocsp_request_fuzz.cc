#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/pki/ocsp_request.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

namespace {

bool Within(absl::string_view part, absl::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void CheckRequest(absl::string_view input) {
  const auto request = pki::ParseOcspRequest(input);
  if (!request.ok()) return;
  Holds(!request->cert_ids.empty() && request->cert_ids.size() <= 1000,
        "a request has 1 to 1,000 CertIDs");
  for (const pki::OcspCertId& id : request->cert_ids) {
    Holds(Within(id.element, input), "a CertID lies in the request");
    Holds(Within(id.serial, id.element) && !id.serial.empty() &&
              Within(id.issuer_name_hash, id.element) && Within(id.issuer_key_hash, id.element),
          "a CertID's parts lie in it");
    pki::DerReader in(id.element);
    pki::OcspCertId again;
    Holds(pki::ReadOcspCertId(&in, &again) && in.empty() && again.serial == id.serial,
          "a CertID reads back by itself");
  }
  Holds(request->has_nonce == !request->nonce.empty() && request->nonce.size() <= 128,
        "a nonce has 1 to 128 bytes");
  Holds(request->nonce.empty() || Within(request->nonce, input), "a nonce lies in the request");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckRequest(input);
  std::string decoded;
  if (pki::DecodeOcspPath(input, &decoded)) {
    Holds(!decoded.empty() && decoded.size() < input.size(), "base64 takes room");
    CheckRequest(decoded);
  }
  return 0;
}
