#include <cstddef>
#include <cstdint>

#include "libs/pki/csr.h"
#include "libs/pki/der.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto taken = pki::ParseCsrDerOrPem(input); taken.ok()) {
    const auto again = pki::ParseCsr(taken->der);
    Holds(again.ok() && again->info == taken->info, "a request in PEM is one in DER");
  }
  const auto parsed = pki::ParseCsr(input);
  if (!parsed.ok()) return 0;
  pki::DerWriter out;
  const size_t sequence = out.Begin(pki::kSequence);
  out.AddRaw(parsed->info);
  out.AddRaw(parsed->signature_algorithm);
  out.AddBitStringBytes(parsed->signature);
  out.End(sequence);
  Holds(out.der() == input, "a request has one encoding");
  Holds(parsed->info.find(parsed->subject_der) != std::string::npos, "the subject is part of it");
  Holds(parsed->info.find(parsed->spki_der) != std::string::npos, "the key is part of it");
  const auto subject = pki::ParseName(parsed->subject_der);
  Holds(subject.ok() && *subject == parsed->subject, "the subject reads alone");
  const auto key = parsed->Key();
  Holds(!parsed->CheckSignature().ok() || key.ok(), "a request is signed by a key");
  return 0;
}
