#include "services/sign/jobs.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

template <typename Item>
absl::StatusOr<Payload> PayloadOf(const Item& item, absl::string_view field) {
  switch (item.payload_case()) {
    case Item::kMessage:
      return Payload{Payload::Kind::kMessage, item.message()};
    case Item::kDigest:
      return Payload{Payload::Kind::kDigest, item.digest()};
    case Item::PAYLOAD_NOT_SET:
      break;
  }
  return FieldError(field, "a message or a digest is required");
}

// What all three requests have. The fingerprint is made where a request id will be looked up.
template <typename Request>
SigningJob CommonOf(const Request& request, absl::string_view method, Call call) {
  SigningJob job;
  job.name = request.name();
  job.ledger = request.ledger();
  job.log = request.log();
  job.call = call;
  if (request.ledger() > v1::LEDGER_WAIT_NONE && !request.request_id().empty()) {
    job.request_id = request.request_id();
    job.fingerprint = RequestFingerprint(method, request);
  }
  return job;
}

}  // namespace

absl::StatusOr<SigningJob> MakeJob(const v1::SignRequest& request, Call call) {
  ASSIGN_OR_RETURN(const Payload payload, PayloadOf(request, "payload"));
  SigningJob job = CommonOf(request, "Sign", call);
  job.payloads.push_back(payload);
  return job;
}

absl::StatusOr<SigningJob> MakeJob(const v1::BatchSignRequest& request, Call call) {
  if (request.items().empty() || request.items_size() > kMaxBatchItems) {
    return FieldError("items", absl::StrCat("1 to ", kMaxBatchItems,
                                            " items are signed in a call, "
                                            "not ",
                                            request.items_size()));
  }
  SigningJob job = CommonOf(request, "BatchSign", call);
  job.payloads.reserve(request.items_size());
  for (int i = 0; i < request.items_size(); ++i) {
    ASSIGN_OR_RETURN(const Payload payload,
                     PayloadOf(request.items(i), absl::StrCat("items[", i, "].payload")));
    job.payloads.push_back(payload);
  }
  return job;
}

absl::StatusOr<SigningJob> MakeJob(const v1::StreamSignRequest& request, const std::string& name,
                                   Call call) {
  ASSIGN_OR_RETURN(const Payload payload, PayloadOf(request, "payload"));
  v1::SignRequest single;  // the correlation id is no part of what is asked for
  SigningJob job;
  job.name = request.name().empty() ? name : request.name();
  job.ledger = request.ledger();
  job.log = request.log();
  job.call = call;
  if (request.ledger() > v1::LEDGER_WAIT_NONE && !request.request_id().empty()) {
    single.set_name(job.name);
    if (payload.kind == Payload::Kind::kMessage) {
      single.set_message(request.message());
    } else {
      single.set_digest(request.digest());
    }
    single.set_ledger(request.ledger());
    single.set_log(request.log());
    job.request_id = request.request_id();
    job.fingerprint = RequestFingerprint("Sign", single);
  }
  job.payloads.push_back(payload);
  return job;
}

}  // namespace countersign::sign
