#include "libs/pki/spki.h"

#include <cstdint>

#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::pki {

bool IsAlgorithmIdentifier(absl::string_view der) {
  DerReader in(der);
  DerReader sequence;
  absl::string_view oid;
  if (!in.Read(kSequence, &sequence) || !in.empty() || !sequence.Read(kOid, &oid) || !IsOid(oid)) {
    return false;
  }
  if (sequence.empty()) return true;
  uint8_t tag;
  absl::string_view parameters;
  return sequence.ReadAny(&tag, &parameters) && sequence.empty();
}

bool ReadSpki(absl::string_view der, absl::string_view* key_bits) {
  DerReader in(der);
  DerReader sequence;
  absl::string_view algorithm;
  return in.Read(kSequence, &sequence) && in.empty() &&
         sequence.ReadElement(kSequence, &algorithm) && IsAlgorithmIdentifier(algorithm) &&
         sequence.ReadBitStringBytes(key_bits) && sequence.empty();
}

}  // namespace countersign::pki
