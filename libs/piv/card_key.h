// Public keys as cards tell them.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PIV_CARD_KEY_H_
#define COUNTERSIGN_LIBS_PIV_CARD_KEY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/piv.h"

namespace countersign::piv {

// The SubjectPublicKeyInfo of a key in the elements that GENERATE answers in 7F49 (SP 800-73-4
// part 2 table 12) and GET METADATA in 04: 86 a point (or Ed25519's 32 bytes), or 81 the modulus
// and 82 the exponent. It need not be one of a key that the suite knows. Internal, since cards make
// them, when the elements are not those of the algorithm.
absl::StatusOr<std::string> CardKeySpki(Algorithm algorithm, absl::string_view elements);

// Bytes of a digest that the key signs at most, of a coordinate, or of an RSA block; 0 for
// algorithms that take messages (Ed25519), symmetric and unknown ones.
size_t InputBytes(Algorithm algorithm);
bool IsEc(Algorithm algorithm);
bool IsRsa(Algorithm algorithm);

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_CARD_KEY_H_
