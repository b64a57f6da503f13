#include "services/ocsp/responder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/log.h"

namespace countersign::ocsp {
namespace {

using pki::OcspError;
using pki::OcspHash;
using LiveAnswer = pki::OcspResponder::Answer;

// An unknown one may be issued at any time.
constexpr int64_t kUnknownLifetime = 300;

absl::string_view SignatureOf(const pki::OcspRecord& record, OcspHash hash) {
  switch (hash) {
    case OcspHash::kSha1:
      return record.sha1_signature;
    case OcspHash::kSha256:
      return record.sha256_signature;
    default:
      return {};
  }
}

// The certificate's record and the authority, of those of one name and key, that it is of.
struct Found {
  const Authority* authority = nullptr;
  std::optional<pki::OcspRecord> record;
};

Found FindRecord(const base::Rcu::ReadLock& lock, const ResponseIndex& index,
                 absl::Span<const Authority* const> authorities, absl::string_view serial) {
  for (const Authority* authority : authorities) {
    const absl::string_view packed = index.Find(lock, authority->id, serial);
    if (packed.empty()) continue;
    absl::StatusOr<pki::OcspRecord> record = pki::UnpackOcspRecord(packed);
    if (record.ok()) return {authority, *record};
  }
  return {authorities.front(), std::nullopt};
}

int64_t MaxAge(const Authority& authority, int64_t next_update, int64_t now) {
  return std::max<int64_t>(0, std::min(authority.max_age, next_update - now));
}

}  // namespace

Validity ValidityAt(absl::Time now, absl::Time sync_time, int64_t revocation_time, int64_t lifetime,
                    const Signer& signer) {
  const int64_t known = absl::ToUnixSeconds(std::min(now, sync_time));
  // A signer is not used before it is valid, nor a revocation told before it happened, but the
  // minute may have begun before.
  const int64_t this_update =
      std::max(known - known % 60, std::min(known, std::max(signer.not_before, revocation_time)));
  return {this_update, std::min(this_update + lifetime, signer.not_after)};
}

Answer Responder::Fail(OcspError error, std::string* out) {
  const absl::string_view response = pki::OcspErrorResponse(error);
  out->append(response.data(), response.size());
  return {.kind = Answer::Kind::kError, .error = error};
}

std::optional<OcspError> Responder::Parse(absl::string_view request,
                                          pki::OcspRequest* parsed) const {
  if (request.size() > kMaxRequestBytes) return OcspError::kMalformedRequest;
  absl::StatusOr<pki::OcspRequest> result = pki::ParseOcspRequest(request);
  if (!result.ok()) return OcspError::kMalformedRequest;
  if (result->unknown_critical_extension) return OcspError::kUnauthorized;
  if (!responses_->loaded()) return OcspError::kTryLater;
  *parsed = *std::move(result);
  return std::nullopt;
}

Answer Responder::TryAnswer(absl::string_view request, std::string* out) const {
  pki::OcspRequest parsed;
  if (const auto error = Parse(request, &parsed)) return Fail(*error, out);
  constexpr Answer kNeedsSigning = {.kind = Answer::Kind::kNeedsSigning};
  const pki::OcspCertId& id = parsed.cert_ids[0];

  const base::Rcu::ReadLock lock(&responses_->rcu());
  const auto authorities = responses_->directory(lock).Find(id);
  if (authorities.empty()) return Fail(OcspError::kUnauthorized, out);
  if (parsed.cert_ids.size() > 1) return kNeedsSigning;

  const absl::Time time = clock_->Now();
  const int64_t now = absl::ToUnixSeconds(time);
  const auto [authority, record] = FindRecord(lock, responses_->index(), authorities, id.serial);
  if (!record.has_value()) {
    if (!responses_->Fresh(time)) return Fail(OcspError::kTryLater, out);
    if (!authority->signed_unknown) return Fail(OcspError::kUnauthorized, out);
    return kNeedsSigning;
  }
  if (parsed.has_nonce && authority->nonces) return kNeedsSigning;
  const absl::string_view signature = SignatureOf(*record, id.hash);
  if (signature.empty()) return kNeedsSigning;
  const pki::OcspStatus& status = record->status;
  const Signer* const signer = authority->FindSigner(record->signer_id);
  if (signer == nullptr || now < status.this_update || now >= status.next_update ||
      status.next_update > signer->not_after) {
    return kNeedsSigning;
  }
  signer->responder->AppendResponse(status, id.hash, signature, out);
  return {.kind = Answer::Kind::kPresigned,
          .this_update = status.this_update,
          .next_update = status.next_update,
          .max_age = MaxAge(*authority, status.next_update, now)};
}

Answer Responder::AnswerLive(absl::string_view request, std::string* out) const {
  pki::OcspRequest parsed;
  if (const auto error = Parse(request, &parsed)) return Fail(*error, out);
  const absl::Time time = clock_->Now();
  const int64_t now = absl::ToUnixSeconds(time);
  // Read before the records: what is said was true then, at the least.
  const absl::Time sync_time = responses_->sync_time();
  const bool fresh = responses_->Fresh(time);

  std::vector<LiveAnswer> answers;
  answers.reserve(parsed.cert_ids.size());
  // Keeps the authorities beyond the lock, under which nothing is signed.
  const std::shared_ptr<const Directory> directory = responses_->directory();
  const Authority* speaker = nullptr;
  bool any_known = false;
  bool any_unknown = false;
  int64_t last_revocation = 0;
  {
    const base::Rcu::ReadLock lock(&responses_->rcu());
    for (const pki::OcspCertId& id : parsed.cert_ids) {
      const auto authorities = directory->Find(id);
      if (authorities.empty()) return Fail(OcspError::kUnauthorized, out);
      const auto [authority, record] =
          FindRecord(lock, responses_->index(), authorities, id.serial);
      if (speaker != nullptr && (speaker->key_bits != authority->key_bits ||
                                 speaker->subject_der != authority->subject_der)) {
        return Fail(OcspError::kUnauthorized, out);
      }
      if (speaker == nullptr || record.has_value()) speaker = authority;
      LiveAnswer& answer = answers.emplace_back();
      answer.id = id;
      if (!record.has_value()) {
        any_unknown = true;
        continue;
      }
      any_known = true;
      answer.kind = record->status.revoked ? LiveAnswer::Kind::kRevoked : LiveAnswer::Kind::kGood;
      answer.revocation_time = record->status.revocation_time;
      last_revocation = std::max(last_revocation, answer.revocation_time);
      answer.reason = record->status.reason;
    }
  }
  if (any_unknown && !fresh) return Fail(OcspError::kTryLater, out);
  if (!any_known && !speaker->signed_unknown) return Fail(OcspError::kUnauthorized, out);

  const std::shared_ptr<const Signer> signer = speaker->CurrentSigner(now);
  if (signer == nullptr) return Fail(OcspError::kTryLater, out);
  const int64_t lifetime =
      any_unknown ? std::min(kUnknownLifetime, speaker->lifetime) : speaker->lifetime;
  const Validity validity = ValidityAt(time, sync_time, last_revocation, lifetime, *signer);
  // The database has not been heard of for so long that nothing can be said any more.
  if (validity.next_update <= now) return Fail(OcspError::kTryLater, out);
  const bool echo = parsed.has_nonce && speaker->nonces;
  const std::string tbs =
      signer->responder->BuildTbs(answers, echo ? parsed.nonce : absl::string_view(),
                                  validity.this_update, validity.next_update);
  const absl::StatusOr<std::string> signature = signer->key->SignMessage(tbs);
  if (!signature.ok()) {
    base::Log(
        base::Severity::kError, "an OCSP response could not be signed",
        {{"authority", speaker->name}, {"reason", std::string(signature.status().message())}});
    return Fail(OcspError::kInternalError, out);
  }
  out->append(signer->responder->Assemble(tbs, *signature));
  return {.kind = Answer::Kind::kLive,
          .this_update = validity.this_update,
          .next_update = validity.next_update,
          .max_age = any_unknown ? 0 : MaxAge(*speaker, validity.next_update, now),
          .nonce = echo};
}

std::optional<Responder::Known> Responder::Look(const Authority& authority,
                                                absl::string_view serial) const {
  const base::Rcu::ReadLock lock(&responses_->rcu());
  const absl::StatusOr<pki::OcspRecord> record =
      pki::UnpackOcspRecord(responses_->index().Find(lock, authority.id, serial));
  if (!record.ok()) return std::nullopt;
  const pki::OcspStatus& status = record->status;
  return Known{status.revoked, status.revocation_time, status.reason, status.this_update,
               status.next_update};
}

}  // namespace countersign::ocsp
