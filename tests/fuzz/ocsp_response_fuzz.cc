#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/pki/ocsp_response.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto response = pki::ParseOcspResponse(input);
  if (!response.ok()) return 0;
  if (response->response_status != 0) {
    Holds(size == 5, "an error has one form");
    return 0;
  }
  Holds(input.find(response->tbs) != absl::string_view::npos, "what is signed is part of it");
  Holds(response->responder_key_hash.empty() != response->responder_name_der.empty(),
        "a responder has a name or a key");
  for (const pki::OcspResponse::Single& single : response->singles) {
    Holds(!single.serial.empty(), "a CertID has a serial number");
    Holds(single.kind == pki::OcspResponse::Single::Kind::kRevoked || single.reason == 0,
          "only what is revoked has a reason");
  }
  for (const std::string& der : response->certificates) {
    const auto issuer = pki::ParseCertificate(der);
    if (issuer.ok()) (void)pki::CheckOcspResponse(*response, *issuer, response->produced_at);
  }
  return 0;
}
