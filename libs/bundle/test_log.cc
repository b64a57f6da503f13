#include "libs/bundle/test_log.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/clock.h"
#include "libs/merkle/hash.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"

namespace countersign::bundle {
namespace {

crypto::PrivateKey NewEd25519() {
  return crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519).value();
}

}  // namespace

TestLog::TestLog(const std::string& origin)
    : log_(note::NewEd25519Signer(origin, NewEd25519()).value()) {
  for (int i = 0; i < kWitnesses; ++i) {
    witnesses_.push_back(note::CosignatureSigner::Create(absl::StrCat("witness-", i, ".example"),
                                                         NewEd25519(), base::Clock::System())
                             .value());
  }
}

std::string TestLog::PolicyText(int quorum) const {
  std::string text = absl::StrCat("log ", log_->vkey(), "\n");
  std::string members;
  for (int i = 0; i < kWitnesses; ++i) {
    absl::StrAppend(&text, "witness w", i, " ", witnesses_[i]->vkey(), "\n");
    absl::StrAppend(&members, " w", i);
  }
  if (quorum == 0) return absl::StrCat(text, "quorum none\n");
  return absl::StrCat(text, "group witnesses ", quorum, members, "\nquorum witnesses\n");
}

TrustPolicy TestLog::Trust(int quorum, const crypto::PublicKey& signer) const {
  return TrustPolicy::Create(PolicyText(quorum), {{"release", signer}}).value();
}

LoggedSignature TestLog::Log(const std::string& body, const std::vector<int>& cosigners) const {
  std::array<merkle::Hash, 6> leaves;
  for (size_t i = 0; i < leaves.size(); ++i)
    leaves[i] = merkle::LeafHash(absl::StrCat("entry ", i));
  leaves[2] = merkle::LeafHash(body);
  const merkle::Hash left = merkle::NodeHash(leaves[0], leaves[1]);
  const merkle::Hash middle = merkle::NodeHash(leaves[2], leaves[3]);
  const merkle::Hash right = merkle::NodeHash(leaves[4], leaves[5]);
  const merkle::Hash root = merkle::NodeHash(merkle::NodeHash(left, middle), right);

  const std::string text = note::FormatCheckpoint({log_->name(), leaves.size(), root});
  note::SignedNote signed_note{text, {{log_->name(), log_->key_id(), log_->Sign(text).value()}}};
  for (int i : cosigners) {
    const note::CosignatureSigner& witness = *witnesses_[i];
    signed_note.signatures.push_back(
        {witness.name(), witness.key_id(), witness.SignAt(text, 1700000000 + i).value()});
  }
  LoggedSignature logged;
  logged.canonicalized_body = body;
  logged.index = 2;
  logged.tree_size = leaves.size();
  for (const merkle::Hash& hash : {leaves[3], left, right}) {
    logged.hashes.emplace_back(base::AsBytes(hash));
  }
  logged.checkpoint = note::FormatNote(signed_note);
  logged.log_key_id = std::string(base::AsBytes(log_->verifier().key_hash()));
  return logged;
}

HashedRekord SignedEntry(const crypto::PrivateKey& key, absl::string_view artifact) {
  HashedRekord entry;
  entry.algorithm = key.algorithm() == crypto::Algorithm::kEd25519 ? crypto::Algorithm::kEd25519ph
                                                                   : key.algorithm();
  entry.digest_algorithm = crypto::SignedDigest(key.algorithm());
  entry.digest = crypto::Digest(entry.digest_algorithm, artifact);
  entry.signature = key.SignDigest(entry.digest).value();
  entry.spki_der = key.public_key().spki_der();
  return entry;
}

}  // namespace countersign::bundle
