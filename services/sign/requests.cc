#include "services/sign/requests.h"

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {

using ::countersign::storage::Value;

std::string RequestFingerprint(absl::string_view method, const google::protobuf::Message& request) {
  std::unique_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  if (const auto* field = copy->GetDescriptor()->FindFieldByName("request_id")) {
    copy->GetReflection()->ClearField(copy.get(), field);
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.SetSerializationDeterministic(true);  // maps in order
    copy->SerializeToCodedStream(&output);
  }
  return std::string(base::AsBytes(crypto::Sha256Parts({method, "\n", bytes})));
}

absl::StatusOr<std::optional<std::string>> FindAnswer(storage::Transaction& transaction,
                                                      const std::string& tenant,
                                                      const std::string& request_id,
                                                      const std::string& fingerprint,
                                                      absl::Time now) {
  ASSIGN_OR_RETURN(storage::Rows rows,
                   transaction.Query("SELECT fingerprint, answer FROM requests"
                                     " WHERE tenant = $1 AND request_id = $2 AND create_time > $3",
                                     {Value::Text(tenant), Value::Text(request_id),
                                      absl::ToUnixMicros(now - kRequestIdLifetime)}));
  if (rows.empty()) return std::nullopt;
  if (rows[0].Bytes(0) != fingerprint) {
    return ExistsError(kRequestIdReused, absl::StrCat("request_id ", request_id,
                                                      " was used for a different request; make up "
                                                      "a new one for each request"));
  }
  return std::move(rows[0][1]).AsString();
}

absl::Status SaveAnswer(storage::Transaction& transaction, const std::string& tenant,
                        const std::string& request_id, const std::string& fingerprint,
                        const std::string& answer, absl::Time now) {
  RETURN_IF_ERROR(transaction
                      .Run("DELETE FROM requests WHERE create_time <= $1",
                           {absl::ToUnixMicros(now - kRequestIdLifetime)})
                      .status());
  return transaction
      .Run(
          "INSERT INTO requests (tenant, request_id, fingerprint, answer, create_time)"
          " VALUES ($1, $2, $3, $4, $5)",
          {Value::Text(tenant), Value::Text(request_id), Value::Bytes(fingerprint),
           Value::Bytes(answer), absl::ToUnixMicros(now)})
      .status();
}

absl::StatusOr<std::string> CheckRequestId(const std::string& request_id) {
  if (!request_id.empty() && !ValidRequestId(request_id)) {
    return FieldError("request_id", "expected a UUID, or nothing");
  }
  return absl::AsciiStrToLower(request_id);
}

}  // namespace countersign::sign
