// The contract's SubKey, and what it means here. Pure functions, but for the name that is made up.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_PROTOS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_PROTOS_H_

#include <string>

#include "absl/status/statusor.h"
#include "countersign/yubikey/v1/resources.pb.h"
#include "countersign/yubikey/v1/sub_key_service.pb.h"
#include "services/yubikey-agent/sub_keys.h"

namespace countersign::yubikey {

// What is asked for, with the defaults filled in. InvalidArgument, naming the field, for an
// algorithm that no sub-key has, and as CheckSubKeySpec.
absl::StatusOr<SubKeySpec> ToSpec(const v1::CreateSubKeyRequest& request);

void ToProto(const SubKeyInfo& info, v1::SubKey* proto);

// The name that a session must cover to make or revoke the sub-key: its card key or authority.
const std::string& CertifierOf(const SubKeySpec& spec);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_PROTOS_H_
