#include "services/sign/certificates/issuer.h"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/digest.h"
#include "libs/pki/signature.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/issuance.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"
#include "services/sign/requests.h"

namespace countersign::sign {
namespace {

constexpr int kMaxBatch = 1000;
// What one task of a batch issues, so that the hand-over between threads does not show.
constexpr int kChunk = 8;
constexpr char kMethod[] = "IssueCertificate";

bool WantsLedger(const v1::IssueCertificateRequest& request) {
  return request.ledger() != v1::LEDGER_WAIT_UNSPECIFIED &&
         request.ledger() != v1::LEDGER_WAIT_NONE;
}

// A UUID that belongs to a certificate for good (RFC 9562 version 8): its signature for the ledger
// is made once, however often the request is repeated.
std::string LedgerRequestId(absl::string_view der) {
  auto digest = crypto::Sha256Parts({"countersign certificate in the ledger\n", der});
  digest[6] = static_cast<uint8_t>((digest[6] & 0x0F) | 0x80);
  digest[8] = static_cast<uint8_t>((digest[8] & 0x3F) | 0x80);
  const std::string hex = base::HexEncode(base::AsBytes(digest).substr(0, 16));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

void SetError(const absl::Status& status, v1::ItemError* error) {
  error->set_code(static_cast<int32_t>(status.code()));
  error->set_message(std::string(status.message()));
  if (auto reason = runtime::ReasonOf(status); reason.has_value()) {
    error->set_reason(*std::move(reason));
  }
}

absl::Status CheckItem(const v1::IssueCertificateRequest& item, const std::string& parent) {
  if (!item.parent().empty() && item.parent() != parent) {
    return FieldError("parent", "must be empty, or the batch's");
  }
  if (WantsLedger(item)) return FieldError("ledger", "not in batches; issue it by itself");
  return CheckIssueRequest(item);
}

}  // namespace

// A certificate that waits for its signature.
struct Issuer::State {
  std::shared_ptr<const IssuingAuthority> authority;
  NewCertificate made;
  Payload payload;
  CertificateStore::InsertDone done;
};

absl::StatusOr<std::shared_ptr<const IssuingAuthority>> Issuer::FindAuthority(
    const std::string& name) {
  std::shared_ptr<const LiveAuthority> live = options_.authorities->Find(name);
  if (live == nullptr) {
    ASSIGN_OR_RETURN(live, options_.authorities->Load(name));
  }
  {
    base::MutexLock lock(&mutex_);
    const auto found = authorities_.find(name);
    if (found != authorities_.end() && found->second->live == live) return found->second;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const IssuingAuthority> made,
                   MakeIssuingAuthority(std::move(live)));
  base::MutexLock lock(&mutex_);
  authorities_[name] = made;
  return made;
}

void Issuer::IssueOne(const v1::IssueCertificateRequest& request,
                      std::shared_ptr<const IssuingAuthority> authority, std::string fingerprint,
                      Call call, CertificateStore::InsertDone done) {
  const LiveAuthority& live = *authority->live;
  const absl::Time now = options_.clock->Now();
  absl::StatusOr<Issuance> issuance =
      PrepareIssuance(request, *authority, *options_.weak_keys, now);
  absl::StatusOr<std::string> record =
      issuance.ok() ? live.SignOcspRecord({.serial = issuance->certificate.serial},
                                          issuance->certificate.not_after, now)
                    : absl::StatusOr<std::string>(issuance.status());
  if (!record.ok()) {
    if (request.request_id().empty()) return done(record.status());
    // What was issued once is answered, though it may not be issued any more.
    auto kept = options_.certificates->Recall(live.tenant, request.request_id(), fingerprint);
    if (!kept.ok()) return done(kept.status());
    if (kept->has_value()) return done(**std::move(kept));
    return done(record.status());
  }
  auto state = std::make_shared<State>();
  state->done = std::move(done);
  NewCertificate& made = state->made;
  made.tenant = live.tenant;
  made.authority_id = live.id;
  made.authority = live.name;
  made.certificate = std::move(issuance->certificate);
  made.profile = request.profile();
  made.owner_team = request.owner_team();
  made.environment = request.environment();
  made.labels.assign(request.labels().begin(), request.labels().end());
  made.renew_time = issuance->renew_time;
  made.crl_shard = issuance->crl_shard;
  made.csr = std::move(issuance->csr);
  made.ocsp_record = *std::move(record);
  made.request_id = request.request_id();
  made.request_fingerprint = std::move(fingerprint);
  if (!request.replaces().empty()) {
    const auto replaces = ParseCertificateName("replaces", request.replaces());
    if (!replaces.ok()) return state->done(replaces.status());
    if (replaces->tenant != live.tenant) {
      return state->done(FieldError("replaces", "is another tenant's"));
    }
    made.replaces = replaces->id;
  }
  state->authority = std::move(authority);
  state->payload = {Payload::Kind::kMessage, made.certificate.tbs};
  State* const s = state.get();
  live.key->signer->Sign(
      absl::MakeConstSpan(&s->payload, 1), call,
      [this, state = std::move(state)](absl::StatusOr<std::vector<std::string>> signatures) {
        if (!signatures.ok()) return state->done(signatures.status());
        pki::Certificate& certificate = state->made.certificate;
        certificate.signature = std::move(signatures->front());
        certificate.der = pki::AssembleSigned(
            certificate.tbs, state->authority->live->key->algorithm, certificate.signature);
        options_.certificates->Insert(std::move(state->made), std::move(state->done));
      });
}

void Issuer::Issue(const v1::IssueCertificateRequest& request, Call call, Done done) {
  if (const absl::Status status = CheckIssueRequest(request); !status.ok()) return done(status);
  if (WantsLedger(request) && options_.signing == nullptr) {
    return done(PreconditionError(kNoLedger,
                                  "this service has no ledger configured; start it with --ledger"));
  }
  auto authority = FindAuthority(request.parent());
  if (!authority.ok()) return done(authority.status());
  std::string fingerprint =
      request.request_id().empty() ? "" : RequestFingerprint(kMethod, request);
  IssueOne(request, *authority, std::move(fingerprint), call,
           [this, call, authority = *authority, ledger = WantsLedger(request),
            wait = request.ledger(), log = request.log(),
            done = std::move(done)](absl::StatusOr<v1::Certificate> certificate) mutable {
             if (!certificate.ok()) return done(certificate.status());
             v1::IssueCertificateResponse response;
             *response.mutable_certificate() = *std::move(certificate);
             for (const std::string& issuer : authority->chain) response.add_issuers(issuer);
             if (!ledger) return done(std::move(response));
             if (log.empty()) log = authority->live->settings.log();
             Log(std::move(authority), log, wait, call, std::move(response), std::move(done));
           });
}

void Issuer::Log(std::shared_ptr<const IssuingAuthority> authority, const std::string& log,
                 v1::LedgerWait wait, Call call, v1::IssueCertificateResponse response, Done done) {
  struct Entry {
    std::string digest;
    v1::IssueCertificateResponse response;
    Done done;
  };
  auto entry = std::make_shared<Entry>();
  entry->response = std::move(response);
  entry->done = std::move(done);
  const std::string& der = entry->response.certificate().der();
  const LiveKey& key = *authority->live->key;
  entry->digest = crypto::Digest(crypto::SignedDigest(key.algorithm), der);
  SigningJob job;
  job.name = key.version;
  job.payloads.push_back({Payload::Kind::kDigest, entry->digest});
  job.ledger = wait;
  job.log = log;
  job.request_id = LedgerRequestId(der);
  job.fingerprint = std::string(base::AsBytes(crypto::Sha256(der)));
  job.call = call;
  options_.signing->Sign(
      std::move(job), [entry](absl::StatusOr<std::vector<v1::Signature>> signatures) {
        if (!signatures.ok()) return entry->done(signatures.status());
        entry->response.mutable_ledger_proof()->Swap(signatures->front().mutable_ledger_proof());
        entry->done(std::move(entry->response));
      });
}

void Issuer::IssueBatch(const v1::BatchIssueCertificatesRequest& request, BatchDone done) {
  const int count = request.requests_size();
  if (count == 0 || count > kMaxBatch) {
    return done(FieldError(
        "requests",
        absl::StrCat("1 to ", kMaxBatch, " certificates are issued in a call, not ", count)));
  }
  auto authority = FindAuthority(request.parent());
  if (!authority.ok()) return done(authority.status());
  struct Batch {
    v1::BatchIssueCertificatesResponse response;
    std::atomic<int> left;
    BatchDone done;
    void Answer() {
      if (left.fetch_sub(1) == 1) done(std::move(response));
    }
  };
  auto batch = std::make_shared<Batch>();
  // One more, so that the answer waits for what is used of `request`.
  batch->left = count + 1;
  batch->done = std::move(done);
  for (const std::string& issuer : (*authority)->chain) batch->response.add_issuers(issuer);
  batch->response.mutable_results()->Reserve(count);
  for (int i = 0; i < count; ++i) batch->response.add_results();

  const auto issue = [&](int i) {
    const v1::IssueCertificateRequest& item = request.requests(i);
    v1::IssuanceResult* const result = batch->response.mutable_results(i);
    const auto answer = [batch, result](absl::StatusOr<v1::Certificate> certificate) {
      if (certificate.ok()) {
        *result->mutable_certificate() = *std::move(certificate);
      } else {
        SetError(certificate.status(), result->mutable_error());
      }
      batch->Answer();
    };
    if (const absl::Status status = CheckItem(item, request.parent()); !status.ok()) {
      return answer(status);
    }
    std::string fingerprint;
    if (!item.request_id().empty()) {
      // The same by itself as in a batch.
      v1::IssueCertificateRequest whole = item;
      whole.set_parent(request.parent());
      fingerprint = RequestFingerprint(kMethod, whole);
    }
    IssueOne(item, *authority, std::move(fingerprint), nullptr, answer);
  };
  options_.executor->ParallelFor((count + kChunk - 1) / kChunk, [&](int chunk) {
    const int end = std::min(count, (chunk + 1) * kChunk);
    for (int i = chunk * kChunk; i < end; ++i) issue(i);
  });
  batch->Answer();
}

}  // namespace countersign::sign
