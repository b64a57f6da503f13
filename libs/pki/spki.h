// The outlines of AlgorithmIdentifier and SubjectPublicKeyInfo (RFC 5280 section 4.1), of keys and
// algorithms that the suite may not know.
#ifndef COUNTERSIGN_LIBS_PKI_SPKI_H_
#define COUNTERSIGN_LIBS_PKI_SPKI_H_

#include "absl/strings/string_view.h"

namespace countersign::pki {

// Whether `der` is a SEQUENCE of an OBJECT IDENTIFIER and at most one element of any kind.
bool IsAlgorithmIdentifier(absl::string_view der);

// The contents of subjectPublicKey without their count of unused bits, which must be 0. False when
// `der` is no SubjectPublicKeyInfo.
bool ReadSpki(absl::string_view der, absl::string_view* key_bits);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_SPKI_H_
