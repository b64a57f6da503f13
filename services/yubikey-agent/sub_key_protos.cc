#include "services/yubikey-agent/sub_key_protos.h"

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/conversions.h"

namespace countersign::yubikey {
namespace {

constexpr size_t kMadeUpBytes = 8;

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

absl::StatusOr<crypto::Algorithm> FromProto(v1::Algorithm algorithm) {
  for (const crypto::Algorithm candidate :
       {crypto::Algorithm::kEd25519, crypto::Algorithm::kEcdsaP256Sha256,
        crypto::Algorithm::kHpkeX25519}) {
    if (ToProto(candidate) == algorithm) return candidate;
  }
  return runtime::FieldError("sub_key.algorithm",
                             "must be ALGORITHM_ED25519, ALGORITHM_ECDSA_P256_SHA256 or "
                             "ALGORITHM_HPKE_X25519");
}

}  // namespace

absl::StatusOr<SubKeySpec> ToSpec(const v1::CreateSubKeyRequest& request) {
  const v1::SubKey& sub_key = request.sub_key();
  SubKeySpec spec;
  spec.id = request.sub_key_id();
  if (spec.id.empty()) {
    spec.id = absl::StrCat("sk-", base::HexEncode(crypto::RandomBytes(kMadeUpBytes)));
  }
  spec.card_key = sub_key.card_key();
  spec.authority = sub_key.authority();
  ASSIGN_OR_RETURN(spec.algorithm, FromProto(sub_key.algorithm()));
  spec.common_name = sub_key.common_name().empty() ? spec.Name() : sub_key.common_name();
  if (sub_key.lifetime_seconds() != 0) spec.lifetime = absl::Seconds(sub_key.lifetime_seconds());
  spec.max_uses = sub_key.max_uses();
  spec.renew = sub_key.renew();
  spec.log_certificates = sub_key.log_certificates();
  RETURN_IF_ERROR(CheckSubKeySpec(spec));
  return spec;
}

void ToProto(const SubKeyInfo& info, v1::SubKey* proto) {
  proto->set_name(info.spec.Name());
  proto->set_card_key(info.spec.card_key);
  proto->set_authority(info.spec.authority);
  proto->set_algorithm(ToProto(info.spec.algorithm));
  proto->set_common_name(info.spec.common_name);
  proto->set_lifetime_seconds(absl::ToInt64Seconds(info.spec.lifetime));
  proto->set_max_uses(info.spec.max_uses);
  proto->set_renew(info.spec.renew);
  proto->set_log_certificates(info.spec.log_certificates);
  proto->set_generation(info.generation);
  proto->set_uses(info.uses);
  for (const std::string& der : info.certificates.chain) proto->add_chain(der);
  for (const std::string& der : info.certificates.attestation) proto->add_attestation(der);
  *proto->mutable_expire_time() = ToTimestamp(info.certificates.not_after);
  *proto->mutable_create_time() = ToTimestamp(info.create_time);
  proto->set_revoked(info.revoked);
}

const std::string& CertifierOf(const SubKeySpec& spec) {
  return spec.authority.empty() ? spec.card_key : spec.authority;
}

}  // namespace countersign::yubikey
