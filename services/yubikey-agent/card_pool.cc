#include "services/yubikey-agent/card_pool.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/public_key.h"
#include "libs/crypto/rsa_padding.h"
#include "services/yubikey-agent/card_pool_impl.h"
#include "services/yubikey-agent/card_session.h"

namespace countersign::yubikey {
namespace {

// An uncompressed point: 04, x and y.
size_t PointBytes(crypto::KeyType type) { return type == crypto::KeyType::kEcP256 ? 65 : 97; }

// What GENERAL AUTHENTICATE is given for `digest`.
absl::StatusOr<std::string> SigningInput(crypto::Algorithm algorithm, std::string digest) {
  switch (algorithm) {
    case crypto::Algorithm::kEd25519:
      if (digest.size() > piv::kMaxObjectBytes) {
        return absl::InvalidArgumentError(absl::StrCat("a card signs messages of up to ",
                                                       piv::kMaxObjectBytes,
                                                       " bytes by Ed25519, not ", digest.size()));
      }
      return digest;
    case crypto::Algorithm::kEcdsaP256Sha256:
    case crypto::Algorithm::kEcdsaP384Sha384:
    case crypto::Algorithm::kRsaPss2048Sha256:
    case crypto::Algorithm::kRsaPkcs1_2048Sha256:
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("cards do not sign by ", crypto::AlgorithmName(algorithm)));
  }
  const size_t length = crypto::DigestLength(crypto::DigestFor(algorithm));
  if (digest.size() != length) {
    return absl::InvalidArgumentError(absl::StrCat(crypto::AlgorithmName(algorithm),
                                                   " signs digests of ", length, " bytes, not ",
                                                   digest.size()));
  }
  if (algorithm == crypto::Algorithm::kRsaPss2048Sha256 ||
      algorithm == crypto::Algorithm::kRsaPkcs1_2048Sha256) {
    return crypto::EncodeForSigning(algorithm, digest);
  }
  return digest;
}

template <typename T>
std::shared_ptr<T> Shared(T value) {
  return std::make_shared<T>(std::move(value));
}

}  // namespace

CardPool::CardPool(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

CardPool::~CardPool() = default;

std::vector<CardInfo> CardPool::Cards() const { return impl_->Cards(); }

absl::StatusOr<CardInfo> CardPool::Card(uint32_t serial) const {
  const std::shared_ptr<const KeyIndex> index = impl_->index();
  const std::shared_ptr<CardWorker>* card = index->Card(serial);
  if (card == nullptr) return absl::NotFoundError(absl::StrCat("card ", serial, " is not here"));
  return (*card)->info();
}

std::vector<CardKey> CardPool::Keys() const { return impl_->index()->Keys(); }

CardCounters CardPool::counters() const { return impl_->counters(); }

std::shared_ptr<void> CardPool::Watch(std::function<void()> changed) {
  return impl_->Watch(std::move(changed));
}

absl::StatusOr<CardKey> CardPool::Find(const std::string& name) {
  const std::shared_ptr<const KeyIndex> index = impl_->index();
  ASSIGN_OR_RETURN(const std::vector<const KeyEntry*> entries, index->Resolve(name));
  CardKey key;
  key.name = name;
  for (const KeyEntry* entry : entries) key.places.push_back(entry->place);
  return key;
}

void CardPool::Sign(const std::string& name, crypto::Algorithm algorithm, std::string digest,
                    absl::Time deadline, SignDone done) {
  auto input = SigningInput(algorithm, digest);
  if (!input.ok()) return done(input.status());
  auto result = std::make_shared<Signed>();
  impl_->Start(Shared(Impl::Use{
      "sign", name, impl_->DeadlineAt(deadline),
      [algorithm](const KeyEntry& entry) { return entry.key.Check(algorithm); },
      [result, algorithm, digest = std::move(digest), input = *std::move(input)](
          piv::Applet& applet, const KeyEntry& entry) -> absl::Status {
        ASSIGN_OR_RETURN(result->signature, applet.Sign(entry.place.slot, entry.algorithm, input));
        const absl::StatusOr<bool> holds =
            algorithm == crypto::Algorithm::kEd25519
                ? entry.key.VerifyMessage(algorithm, digest, result->signature)
                : entry.key.VerifyDigest(algorithm, digest, result->signature);
        // Another program has put another key into the slot.
        if (!holds.ok() || !*holds) return absl::NotFoundError("the signature is by another key");
        result->place = entry.place;
        return absl::OkStatus();
      },
      [result, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        done(std::move(*result));
      }}));
}

void CardPool::Agree(const std::string& name, std::string peer_spki, absl::Time deadline,
                     DecryptDone done) {
  const auto peer = crypto::PublicKey::FromSpkiDer(peer_spki);
  if (!peer.ok()) return done(peer.status());
  const crypto::KeyType type = peer->type();
  if (type != crypto::KeyType::kEcP256 && type != crypto::KeyType::kEcP384) {
    return done(absl::InvalidArgumentError("cards agree on secrets with P-256 and P-384 keys"));
  }
  // The point is what a SubjectPublicKeyInfo ends with.
  std::string point = peer_spki.substr(peer_spki.size() - PointBytes(type));
  auto result = std::make_shared<Decrypted>();
  impl_->Start(Shared(Impl::Use{
      "agree", name, impl_->DeadlineAt(deadline),
      [type](const KeyEntry& entry) {
        if (entry.key.type() == type) return absl::OkStatus();
        return absl::InvalidArgumentError(
            absl::StrCat(entry.place.Name(), " is not on the curve of the other side's key"));
      },
      [result, point = std::move(point)](piv::Applet& applet, const KeyEntry& entry) {
        ASSIGN_OR_RETURN(result->secret, applet.Agree(entry.place.slot, entry.algorithm, point));
        result->place = entry.place;
        return absl::OkStatus();
      },
      [result, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        done(std::move(*result));
      }}));
}

void CardPool::Decrypt(const std::string& name, crypto::RsaEncryption encryption,
                       std::string ciphertext, absl::Time deadline, DecryptDone done) {
  auto result = std::make_shared<Decrypted>();
  const size_t size = ciphertext.size();
  impl_->Start(Shared(Impl::Use{
      "decrypt", name, impl_->DeadlineAt(deadline),
      [size](const KeyEntry& entry) {
        if (entry.key.type() != crypto::KeyType::kRsa) {
          return absl::InvalidArgumentError(
              absl::StrCat(entry.place.Name(), " is no RSA key: it does not decrypt"));
        }
        if (static_cast<size_t>(entry.key.bits() / 8) != size) {
          return absl::InvalidArgumentError(absl::StrCat("a ciphertext for ", entry.place.Name(),
                                                         " has ", entry.key.bits() / 8,
                                                         " bytes, not ", size));
        }
        return absl::OkStatus();
      },
      [result, encryption, ciphertext = std::move(ciphertext)](piv::Applet& applet,
                                                               const KeyEntry& entry) {
        ASSIGN_OR_RETURN(const crypto::SecretBytes block,
                         applet.Decipher(entry.place.slot, entry.algorithm, ciphertext));
        ASSIGN_OR_RETURN(result->secret, crypto::DecodeDecrypted(encryption, block));
        result->place = entry.place;
        return absl::OkStatus();
      },
      [result, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        done(std::move(*result));
      }}));
}

void CardPool::Execute(uint32_t serial, absl::string_view operation, Needs needs, bool changes_card,
                       absl::Time deadline, Body body, Done done) {
  const bool uses_pin = needs.pin;
  impl_->Start(Shared(Impl::Task{
      serial, std::string(operation), impl_->DeadlineAt(deadline), uses_pin, changes_card,
      [needs = Shared(std::move(needs)), body = std::move(body)](CardSession& session) {
        return session.Execute(*needs, body);
      },
      std::move(done)}));
}

void CardPool::Unlock(uint32_t serial, crypto::SecretBytes pin, absl::Time deadline, Done done) {
  impl_->Start(Shared(Impl::Task{
      serial, "unlock", impl_->DeadlineAt(deadline), false, false,
      [pin = Shared(std::move(pin))](CardSession& session) { return session.Unlock(*pin); },
      std::move(done)}));
}

void CardPool::Lock(uint32_t serial, absl::Time deadline, Done done) {
  impl_->Start(
      Shared(Impl::Task{serial, "lock", impl_->DeadlineAt(deadline), false, false,
                        [](CardSession& session) { return session.Lock(); }, std::move(done)}));
}

void CardPool::ChangePin(uint32_t serial, crypto::SecretBytes pin, crypto::SecretBytes new_pin,
                         absl::Time deadline, Done done) {
  impl_->Start(Shared(Impl::Task{serial, "change-pin", impl_->DeadlineAt(deadline), false, false,
                                 [this, serial, pin = Shared(std::move(pin)),
                                  new_pin = Shared(std::move(new_pin))](CardSession& session) {
                                   RETURN_IF_ERROR(session.ChangePin(*pin, *new_pin));
                                   impl_->PinChanged(serial, new_pin.get());
                                   return absl::OkStatus();
                                 },
                                 std::move(done)}));
}

void CardPool::ChangePuk(uint32_t serial, crypto::SecretBytes puk, crypto::SecretBytes new_puk,
                         absl::Time deadline, Done done) {
  impl_->Start(
      Shared(Impl::Task{serial, "change-puk", impl_->DeadlineAt(deadline), false, false,
                        [puk = Shared(std::move(puk)), new_puk = Shared(std::move(new_puk))](
                            CardSession& session) { return session.ChangePuk(*puk, *new_puk); },
                        std::move(done)}));
}

void CardPool::UnblockPin(uint32_t serial, crypto::SecretBytes puk, crypto::SecretBytes new_pin,
                          absl::Time deadline, Done done) {
  impl_->Start(Shared(Impl::Task{serial, "unblock-pin", impl_->DeadlineAt(deadline), false, false,
                                 [this, serial, puk = Shared(std::move(puk)),
                                  new_pin = Shared(std::move(new_pin))](CardSession& session) {
                                   RETURN_IF_ERROR(session.UnblockPin(*puk, *new_pin));
                                   impl_->PinChanged(serial, new_pin.get());
                                   return absl::OkStatus();
                                 },
                                 std::move(done)}));
}

void CardPool::Reset(uint32_t serial, absl::Time deadline, Done done) {
  impl_->Start(Shared(Impl::Task{serial, "reset", impl_->DeadlineAt(deadline), false, false,
                                 [this, serial](CardSession& session) {
                                   RETURN_IF_ERROR(session.Reset());
                                   impl_->PinChanged(serial, nullptr);
                                   return absl::OkStatus();
                                 },
                                 std::move(done)}));
}

}  // namespace countersign::yubikey
