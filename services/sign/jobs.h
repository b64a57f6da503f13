// Requests as signing jobs.
#ifndef COUNTERSIGN_SERVICES_SIGN_JOBS_H_
#define COUNTERSIGN_SERVICES_SIGN_JOBS_H_

#include "absl/status/statusor.h"
#include "countersign/sign/v1/sign.pb.h"
#include "services/sign/signing.h"

namespace countersign::sign {

inline constexpr int kMaxBatchItems = 1000;

// Pure. The jobs point into their request, which must outlive them. InvalidArgument when there is
// nothing to sign, or too much.
absl::StatusOr<SigningJob> MakeJob(const v1::SignRequest& request, Call call);
absl::StatusOr<SigningJob> MakeJob(const v1::BatchSignRequest& request, Call call);
// `name` stands in for the request's when that is empty.
absl::StatusOr<SigningJob> MakeJob(const v1::StreamSignRequest& request, const std::string& name,
                                   Call call);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_JOBS_H_
