// Cosignatures: timestamped Ed25519 signatures of checkpoints, type 0x04 (C2SP tlog-cosignature).
//
// A signature of this type is a 64-bit big-endian POSIX time in seconds and 64 bytes of Ed25519.
#ifndef COUNTERSIGN_LIBS_NOTE_COSIGNATURE_H_
#define COUNTERSIGN_LIBS_NOTE_COSIGNATURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/clock.h"
#include "libs/crypto/private_key.h"
#include "libs/note/key.h"

namespace countersign::note {

// What is signed: "cosignature/v1\ntime <timestamp>\n" and the note text.
std::string CosignatureMessage(uint64_t timestamp, absl::string_view text);

// The timestamp of a cosignature, in POSIX seconds; nullopt when its length or its timestamp
// (above 2^63 - 1) is not one's.
std::optional<uint64_t> CosignatureTimestamp(absl::string_view signature);

// Thread-safe.
class CosignatureSigner : public NoteSigner {
 public:
  // `clock`, which must outlive the signer, is what Sign takes its timestamps from.
  // InvalidArgument when the name is not valid or the key not Ed25519.
  static absl::StatusOr<std::unique_ptr<CosignatureSigner>> Create(absl::string_view name,
                                                                   crypto::PrivateKey key,
                                                                   const base::Clock* clock);

  const NoteVerifier& verifier() const override { return verifier_; }

  // Cosigns `text` as of now. FailedPrecondition when the clock is not past 1970.
  absl::StatusOr<std::string> Sign(absl::string_view text) const override;

  // Cosigns `text` as of `timestamp`, in POSIX seconds: 1 to 2^63 - 1, else InvalidArgument.
  absl::StatusOr<std::string> SignAt(absl::string_view text, uint64_t timestamp) const;

 private:
  CosignatureSigner(NoteVerifier verifier, crypto::PrivateKey key, const base::Clock* clock);

  NoteVerifier verifier_;
  crypto::PrivateKey key_;
  const base::Clock* clock_;
};

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_COSIGNATURE_H_
