#include "services/yubikey-agent/sub_keys_testing.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/crypto/digest.h"
#include "libs/pki/csr.h"
#include "libs/pki/name.h"
#include "libs/pki/signature.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::RequireOk;

absl::Time Whole(absl::Time time) { return absl::FromUnixSeconds(absl::ToUnixSeconds(time)); }

}  // namespace

FakeCardKeys::FakeCardKeys(crypto::Algorithm algorithm, absl::Time now)
    : start_(Whole(now)), key_(RequireOk(crypto::PrivateKey::Generate(algorithm))) {
  SetCertificate(Certificate([](pki::CertificateTemplate*) {}));
}

std::string FakeCardKeys::Certificate(
    const std::function<void(pki::CertificateTemplate*)>& change) const {
  pki::CertificateTemplate what = pki::TestCaTemplate("CN=Card authority,O=Example");
  what.not_before = start_ - absl::Hours(1);
  what.not_after = start_ + absl::Hours(24 * 30);
  what.issuer_der = what.subject_der;
  what.spki_der = key_.public_key().spki_der();
  what.signature_algorithm = key_.algorithm();
  what.subject_key_id = pki::KeyIdentifier(what.spki_der);
  change(&what);
  return RequireOk(pki::SignAndAssemble(pki::BuildTbsCertificate(what), key_));
}

void FakeCardKeys::SetCertificate(std::string der) {
  base::MutexLock lock(&mutex_);
  certificate_ = std::move(der);
}

std::string FakeCardKeys::certificate() const {
  base::MutexLock lock(&mutex_);
  return certificate_;
}

void FakeCardKeys::Fail(absl::Status failure) {
  base::MutexLock lock(&mutex_);
  failure_ = std::move(failure);
}

void FakeCardKeys::Hold() {
  base::MutexLock lock(&mutex_);
  held_ = true;
}

void FakeCardKeys::Release() {
  std::vector<std::function<void()>> waiting;
  {
    base::MutexLock lock(&mutex_);
    held_ = false;
    waiting.swap(waiting_);
  }
  for (const auto& each : waiting) each();
}

int FakeCardKeys::signatures() const {
  base::MutexLock lock(&mutex_);
  return signatures_;
}

int FakeCardKeys::waiting() const {
  base::MutexLock lock(&mutex_);
  return static_cast<int>(waiting_.size());
}

void FakeCardKeys::SetAttests(bool attests) {
  base::MutexLock lock(&mutex_);
  attests_ = attests;
}

absl::StatusOr<std::string> FakeCardKeys::CertificateIn(const KeyPlace& place) const {
  return certificate();
}

void FakeCardKeys::Attest(const KeyPlace& place, const SubKeyIssuer::AttestDone& done) const {
  bool attests = false;
  {
    base::MutexLock lock(&mutex_);
    attests = attests_;
  }
  if (!attests) {
    return done(runtime::AttachReason(absl::FailedPreconditionError("the key was imported"),
                                      "NOT_ATTESTABLE"));
  }
  done(std::vector<std::string>{absl::StrCat("attestation of ", place.serial), "f9"});
}

bool FakeCardKeys::Knows(const std::string& name) const {
  return name == kTestCardKey || name == "keys/release" ||
         name == absl::StrCat("keys/", key_.public_key().Fingerprint());
}

KeyPlace FakeCardKeys::Place() const {
  return {.serial = 7, .slot = piv::kSignature, .spki_der = key_.public_key().spki_der()};
}

absl::StatusOr<CardKey> FakeCardKeys::Find(const std::string& name) {
  if (!Knows(name)) return absl::NotFoundError(absl::StrCat("no card has ", name));
  return CardKey{.name = name, .places = {Place()}};
}

void FakeCardKeys::Sign(const std::string& name, crypto::Algorithm algorithm, std::string digest,
                        absl::Time deadline, SignDone done) {
  if (!Knows(name)) return done(absl::NotFoundError(absl::StrCat("no card has ", name)));
  if (algorithm != key_.algorithm()) return done(absl::InvalidArgumentError("another algorithm"));
  std::function<void()> sign = [this, digest = std::move(digest), done = std::move(done)] {
    absl::Status failure;
    {
      base::MutexLock lock(&mutex_);
      failure = failure_;
      if (failure.ok()) ++signatures_;
    }
    if (!failure.ok()) return done(failure);
    absl::StatusOr<std::string> signature = key_.algorithm() == crypto::Algorithm::kEd25519
                                                ? key_.SignMessage(digest)
                                                : key_.SignDigest(digest);
    if (!signature.ok()) return done(signature.status());
    done(Signed{Place(), *std::move(signature)});
  };
  {
    base::MutexLock lock(&mutex_);
    if (held_) {
      waiting_.push_back(std::move(sign));
      return;
    }
  }
  sign();
}

void FakeCardKeys::Agree(const std::string& name, std::string peer_spki, absl::Time deadline,
                         DecryptDone done) {
  done(absl::UnimplementedError("it signs only"));
}

void FakeCardKeys::Decrypt(const std::string& name, crypto::RsaEncryption encryption,
                           std::string ciphertext, absl::Time deadline, DecryptDone done) {
  done(absl::UnimplementedError("it signs only"));
}

FakeSubKeyAuthority::FakeSubKeyAuthority(const base::Clock* clock)
    : clock_(clock), root_(pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256)) {}

void FakeSubKeyAuthority::Fail(absl::Status failure) {
  base::MutexLock lock(&mutex_);
  failure_ = std::move(failure);
}

void FakeSubKeyAuthority::Hold() {
  base::MutexLock lock(&mutex_);
  held_ = true;
}

void FakeSubKeyAuthority::Release() {
  std::vector<std::function<void()>> waiting;
  {
    base::MutexLock lock(&mutex_);
    held_ = false;
    waiting.swap(waiting_);
  }
  for (const auto& each : waiting) each();
}

void FakeSubKeyAuthority::Set(const std::string& name, State state) {
  base::MutexLock lock(&mutex_);
  inventory_[name] = state;
}

SubKeyAuthority::State FakeSubKeyAuthority::Get(const std::string& name) const {
  base::MutexLock lock(&mutex_);
  return inventory_.at(name);
}

std::vector<std::string> FakeSubKeyAuthority::names() const {
  base::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [name, state] : inventory_) names.push_back(name);
  return names;
}

bool FakeSubKeyAuthority::logged() const {
  base::MutexLock lock(&mutex_);
  return logged_;
}

void FakeSubKeyAuthority::Issue(Request request, absl::Time deadline,
                                std::function<void(absl::StatusOr<Issued>)> done) {
  absl::StatusOr<pki::Csr> csr = pki::ParseCsr(request.csr);
  if (!csr.ok()) return done(csr.status());
  if (const absl::Status proof = csr->CheckSignature(); !proof.ok()) return done(proof);
  pki::CertificateTemplate what = pki::TestLeafTemplate("unused");
  what.subject_alt_names.clear();
  what.extended_key_usage.clear();
  what.subject_der = csr->subject_der;
  what.spki_der = csr->spki_der;
  what.issuer_der = root_.certificate.subject_der;
  what.not_before = Whole(clock_->Now() - absl::Minutes(5));
  what.not_after = Whole(clock_->Now() + request.lifetime);
  absl::StatusOr<std::string> der = pki::SignAndAssemble(pki::BuildTbsCertificate(what), root_.key);
  if (!der.ok()) return done(der.status());
  absl::Status failure;
  Issued issued{.chain = {*std::move(der), root_.certificate.der}};
  {
    base::MutexLock lock(&mutex_);
    failure = failure_;
    issued.name = absl::StrCat("tenants/example/certificates/", 100 + inventory_.size());
    if (failure.ok()) inventory_[issued.name] = State::kGood;
    logged_ = request.log;
    if (failure.ok() && held_) {
      waiting_.push_back([issued = std::move(issued), done = std::move(done)] { done(issued); });
      return;
    }
  }
  if (!failure.ok()) return done(failure);
  done(std::move(issued));
}

void FakeSubKeyAuthority::Revoke(const std::string& name, absl::Time deadline,
                                 std::function<void(absl::Status)> done) {
  absl::Status status;
  {
    base::MutexLock lock(&mutex_);
    status = failure_;
    if (status.ok()) inventory_[name] = State::kRevoked;
  }
  done(status);
}

void FakeSubKeyAuthority::Check(const std::string& name, absl::Time deadline,
                                std::function<void(absl::StatusOr<State>)> done) {
  absl::StatusOr<State> state = absl::UnknownError("not asked");
  {
    base::MutexLock lock(&mutex_);
    if (failure_.ok()) {
      state = inventory_.at(name);
    } else {
      state = failure_;
    }
  }
  done(state);
}

SubKeyWorld::SubKeyWorld(crypto::Algorithm algorithm)
    : clock(Whole(absl::Now())),
      card(algorithm, clock.Now()),
      authority(&clock),
      issuer({.card_keys = &card,
              .certificate = [this](const KeyPlace& place) { return card.CertificateIn(place); },
              .attest = [this](const KeyPlace& place, absl::Time deadline,
                               const SubKeyIssuer::AttestDone& done) { card.Attest(place, done); },
              .authority = &authority,
              .clock = &clock}) {}

std::unique_ptr<SubKeys> SubKeyWorld::MakeSubKeys(absl::Duration upkeep_interval) {
  return std::make_unique<SubKeys>(SubKeys::Options{.issuer = &issuer,
                                                    .authority = &authority,
                                                    .upkeep_interval = upkeep_interval,
                                                    .clock = &clock});
}

absl::StatusOr<SubKeyInfo> SubKeyWorld::Create(SubKeys* sub_keys, SubKeySpec spec) {
  std::optional<absl::StatusOr<SubKeyInfo>> result;
  sub_keys->Create(std::move(spec), clock.Now() + absl::Minutes(1),
                   [&](absl::StatusOr<SubKeyInfo> info) { result = std::move(info); });
  REQUIRE(result.has_value());
  return *std::move(result);
}

SubKeySpec SubKeyWorld::Spec(const std::string& id) {
  return {.id = id,
          .card_key = kTestCardKey,
          .algorithm = crypto::Algorithm::kEcdsaP256Sha256,
          .common_name = "Release signing"};
}

}  // namespace countersign::yubikey
