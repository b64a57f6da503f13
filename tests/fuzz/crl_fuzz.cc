#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/pki/crl.h"
#include "libs/pki/signature.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto crl = pki::ParseCrl(input);
  if (!crl.ok()) return 0;
  Holds(input.find(crl->tbs) != absl::string_view::npos, "what is signed is part of it");
  // A CRL with the same fields reads back with the same fields.
  pki::CrlTemplate what;
  what.issuer_der = crl->issuer_der;
  what.authority_key_id = crl->authority_key_id;
  what.number = crl->number;
  what.this_update = crl->this_update;
  what.next_update = crl->next_update;
  what.distribution_point = crl->distribution_point;
  what.revoked = crl->revoked;
  const auto again =
      pki::ParseCrl(pki::AssembleSigned(pki::BuildTbsCertList(what), what.signature_algorithm, ""));
  Holds(again.ok(), "what is built parses");
  Holds(again->issuer_der == crl->issuer_der && again->number == crl->number &&
            again->authority_key_id == crl->authority_key_id &&
            again->this_update == crl->this_update && again->next_update == crl->next_update &&
            again->distribution_point == crl->distribution_point,
        "the fields are what they were");
  Holds(again->revoked.size() == crl->revoked.size(), "every entry is there");
  for (size_t i = 0; i < crl->revoked.size(); ++i) {
    Holds(again->revoked[i].serial == crl->revoked[i].serial &&
              again->revoked[i].revocation_time == crl->revoked[i].revocation_time &&
              again->revoked[i].reason == crl->revoked[i].reason,
          "the entries are what they were");
  }
  return 0;
}
