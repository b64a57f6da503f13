#include "services/sign/signing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "countersign/sign/v1/sign.pb.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/bundle/hashedrekord.h"
#include "services/sign/algorithms.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

// Hashing more than this is left to the executor.
constexpr size_t kInlineHashBytes = 256 << 10;

bool Logged(const SigningJob& job) {
  return job.ledger != v1::LEDGER_WAIT_UNSPECIFIED && job.ledger != v1::LEDGER_WAIT_NONE;
}

absl::Status CheckUse(const LiveKey& key, const SigningJob& job) {
  if (key.signer == nullptr) {
    return PreconditionError(
        kWrongAlgorithm, absl::StrCat(key.version, " is for ", crypto::AlgorithmName(key.algorithm),
                                      ", which does not sign"));
  }
  const crypto::DigestAlgorithm hash = crypto::SignedDigest(key.algorithm);
  for (const Payload& payload : job.payloads) {
    if (payload.kind == Payload::Kind::kDigest &&
        payload.bytes.size() != crypto::DigestLength(hash)) {
      return FieldError("digest", absl::StrCat("this key signs ", crypto::DigestName(hash),
                                               " digests of ", crypto::DigestLength(hash),
                                               " bytes, and this one has ", payload.bytes.size()));
    }
  }
  return absl::OkStatus();
}

// The algorithm that a signature over `payload` is made by.
crypto::Algorithm SignatureAlgorithm(crypto::Algorithm key, const Payload& payload) {
  return key == crypto::Algorithm::kEd25519 && payload.kind == Payload::Kind::kDigest
             ? crypto::Algorithm::kEd25519ph
             : key;
}

}  // namespace

// A job from its start to its answer.
struct Signing::State {
  SigningJob job;
  Done done;
  std::string tenant;  // of a logged job with a request id
  std::shared_ptr<const LiveKey> key;
  std::vector<std::string> digests;  // what the payloads of a logged job point to
  std::vector<v1::Signature> signatures;

  void Fail(absl::Status status) { std::exchange(done, nullptr)(std::move(status)); }
  void Succeed() { std::exchange(done, nullptr)(std::move(signatures)); }
};

Signing::Signing(Options options) : options_(std::move(options)) {}

void Signing::Sign(SigningJob job, Done done) {
  auto state = std::make_shared<State>();
  state->job = std::move(job);
  state->done = std::move(done);
  const bool logged = Logged(state->job);
  if (logged && options_.ledger == nullptr) {
    return state->Fail(PreconditionError(
        kNoLedger, "this service has no ledger configured; start it with --ledger"));
  }
  if (!v1::LedgerWait_IsValid(state->job.ledger)) {
    return state->Fail(FieldError("ledger", "unknown level"));
  }
  size_t bytes = 0;
  if (logged) {
    for (const Payload& payload : state->job.payloads) bytes += payload.bytes.size();
  }
  const bool keeps = logged && !state->job.request_id.empty();
  if (!keeps && bytes <= kInlineHashBytes) {
    state->key = options_.keys->Find(state->job.name);
    if (state->key != nullptr) return SignWithKey(std::move(state));
  }
  options_.executor->Schedule([this, state = std::move(state), keeps]() mutable {
    if (!keeps) return LoadKeyAndSign(std::move(state));
    const auto name = ParseKeyName("name", state->job.name, Want::kKeyOrVersion);
    if (!name.ok()) return state->Fail(name.status());
    state->tenant = name->tenant;
    const auto kept =
        options_.store->Recall(state->tenant, state->job.request_id, state->job.fingerprint);
    if (!kept.ok()) return state->Fail(kept.status());
    if (!kept->has_value()) return LoadKeyAndSign(std::move(state));
    v1::BatchSignResponse answer;
    if (!answer.ParseFromString(**kept) ||
        answer.signatures_size() != static_cast<int>(state->job.payloads.size())) {
      return state->Fail(absl::DataLossError("the kept answer of this request id is damaged"));
    }
    state->signatures.assign(answer.signatures().begin(), answer.signatures().end());
    Append(std::move(state));
  });
}

void Signing::LoadKeyAndSign(std::shared_ptr<State> state) {
  auto key = options_.keys->Load(state->job.name);
  if (!key.ok()) return state->Fail(key.status());
  state->key = *std::move(key);
  SignWithKey(std::move(state));
}

void Signing::SignWithKey(std::shared_ptr<State> state) {
  SigningJob& job = state->job;
  if (absl::Status status = CheckUse(*state->key, job); !status.ok()) return state->Fail(status);
  if (Logged(job)) {
    // A log entry names a digest, so a digest is what gets signed.
    const crypto::DigestAlgorithm hash = crypto::SignedDigest(state->key->algorithm);
    state->digests.reserve(job.payloads.size());
    for (Payload& payload : job.payloads) {
      state->digests.push_back(payload.kind == Payload::Kind::kDigest
                                   ? std::string(payload.bytes)
                                   : crypto::Digest(hash, payload.bytes));
      payload = {Payload::Kind::kDigest, state->digests.back()};
    }
  }
  State* const s = state.get();
  auto signed_all =
      [this, state = std::move(state)](absl::StatusOr<std::vector<std::string>> made) mutable {
        if (!made.ok()) return state->Fail(made.status());
        state->signatures.resize(made->size());
        for (size_t i = 0; i < made->size(); ++i) {
          v1::Signature& signature = state->signatures[i];
          signature.set_signature(std::move((*made)[i]));
          signature.set_algorithm(
              ToProto(SignatureAlgorithm(state->key->algorithm, state->job.payloads[i])));
          signature.set_key_version(state->key->version);
        }
        if (!Logged(state->job)) return state->Succeed();
        if (state->job.request_id.empty()) return Append(std::move(state));
        options_.executor->Schedule(
            [this, state = std::move(state)]() mutable { Keep(std::move(state)); });
      };
  s->key->signer->Sign(s->job.payloads, s->job.call, std::move(signed_all));
}

void Signing::Keep(std::shared_ptr<State> state) {
  v1::BatchSignResponse answer;
  for (const v1::Signature& signature : state->signatures) *answer.add_signatures() = signature;
  const auto kept = options_.store->Remember(state->tenant, state->job.request_id,
                                             state->job.fingerprint, answer.SerializeAsString());
  if (!kept.ok()) return state->Fail(kept.status());
  // A call with the same request id may have been faster: then its signatures count.
  if (!answer.ParseFromString(*kept) ||
      answer.signatures_size() != static_cast<int>(state->signatures.size())) {
    return state->Fail(absl::DataLossError("the kept answer of this request id is damaged"));
  }
  state->signatures.assign(answer.signatures().begin(), answer.signatures().end());
  Append(std::move(state));
}

void Signing::Append(std::shared_ptr<State> state) {
  const std::string& version = state->signatures[0].key_version();
  std::string spki;
  crypto::Algorithm algorithm;
  if (state->key != nullptr && state->key->version == version) {
    spki = state->key->public_key.spki_der();
    algorithm = state->key->algorithm;
  } else {
    // Signed earlier, or by another call: by a version that may be out of use since.
    v1::GetKeyVersionRequest get;
    get.set_name(version);
    const auto found = options_.store->GetKeyVersion(get);
    if (!found.ok()) return state->Fail(found.status());
    const auto key_algorithm = KeyAlgorithm("key.algorithm", found->key_version().algorithm());
    if (!key_algorithm.ok()) return state->Fail(key_algorithm.status());
    spki = found->key_version().spki();
    algorithm = *key_algorithm;
  }
  const crypto::DigestAlgorithm hash = crypto::SignedDigest(algorithm);
  std::vector<std::string> entries;
  entries.reserve(state->signatures.size());
  for (size_t i = 0; i < state->signatures.size(); ++i) {
    const Payload& payload = state->job.payloads[i];
    bundle::HashedRekord record;
    record.digest_algorithm = hash;
    record.digest = payload.kind == Payload::Kind::kDigest ? std::string(payload.bytes)
                                                           : crypto::Digest(hash, payload.bytes);
    record.signature = state->signatures[i].signature();
    record.algorithm =
        algorithm == crypto::Algorithm::kEd25519 ? crypto::Algorithm::kEd25519ph : algorithm;
    record.spki_der = spki;
    absl::StatusOr<std::string> entry = bundle::FormatHashedRekord(record);
    if (!entry.ok()) return state->Fail(entry.status());
    state->signatures[i].mutable_ledger_proof()->set_canonicalized_body(*entry);
    entries.push_back(*std::move(entry));
  }
  State* const s = state.get();
  const std::string& log = s->job.log.empty() ? options_.default_log : s->job.log;
  options_.ledger->Append(
      log, std::move(entries), s->job.ledger, s->job.call,
      [state = std::move(state)](absl::StatusOr<std::vector<v1::LedgerProof>> proofs) {
        if (!proofs.ok()) return state->Fail(proofs.status());
        for (size_t i = 0; i < proofs->size(); ++i) {
          v1::LedgerProof* proof = state->signatures[i].mutable_ledger_proof();
          (*proofs)[i].set_canonicalized_body(std::move(*proof->mutable_canonicalized_body()));
          proof->Swap(&(*proofs)[i]);
        }
        state->Succeed();
      });
}

}  // namespace countersign::sign
