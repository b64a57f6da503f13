// Between the messages of countersign.verify.v1 and the verifier's types. Pure functions.
#ifndef COUNTERSIGN_SERVICES_VERIFY_TRANSLATE_H_
#define COUNTERSIGN_SERVICES_VERIFY_TRANSLATE_H_

#include <optional>

#include "absl/status/statusor.h"
#include "countersign/verify/v1/verify.pb.h"
#include "libs/bundle/verify.h"
#include "services/verify/attestations.h"
#include "services/verify/verifier.h"

namespace countersign::verify {

// The check that `message` asks for; views into it. InvalidArgument, naming the field, when a
// required one is missing.
absl::StatusOr<SignatureCheck> FromProto(const v1::SignatureCheck& message);

v1::Verdict ToProto(bool verified);

v1::ItemError ToItemError(const absl::Status& status);

v1::ProofVerdict ToProto(const bundle::Verdict& verdict);

// The check that `message` asks for; views into it.
AttestationCheck FromProto(const v1::VerifyAttestationRequest& message);

v1::AttestationVerdict ToProto(const AttestationVerdict& verdict);

// The digests of the artifact that a request gives: by `digests`, or from `artifact` when that is
// not null. Copies the digests; `artifact` must outlive the result, which answers InvalidArgument
// for a digest that was not given. InvalidArgument when both or neither is given, or a digest's
// length is wrong.
absl::StatusOr<bundle::ArtifactDigest> ArtifactOf(
    const google::protobuf::RepeatedPtrField<v1::ArtifactDigest>& digests,
    const std::string* artifact);

}  // namespace countersign::verify

#endif  // COUNTERSIGN_SERVICES_VERIFY_TRANSLATE_H_
