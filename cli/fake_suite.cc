#include "cli/fake_suite.h"

#include "absl/strings/str_cat.h"
#include "cli/names.h"
#include "libs/bundle/hashedrekord.h"

namespace countersign::cli {
namespace {

constexpr char kLogName[] = "tenants/default/logs/main";

grpc::Status NoSuchKey(const std::string& name) {
  return grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no key " + name);
}

}  // namespace

FakeSign::FakeKey* FakeSign::Find(const std::string& name) {
  const auto found = keys_.find(name.substr(0, name.find("/versions/")));
  return found == keys_.end() ? nullptr : &found->second;
}

grpc::Status FakeSign::CreateKey(grpc::ServerContext*, const sign::v1::CreateKeyRequest* request,
                                 sign::v1::CreateKeyResponse* response) {
  const std::string name = absl::StrCat(request->parent(), "/keys/", request->key_id());
  FakeKey& key = keys_[name];
  key.key = request->key();
  if (key.key.has_backend()) {
    key.key.mutable_backend()->mutable_yubikey()->clear_generate();
    if (key.key.algorithm() == sign::v1::ALGORITHM_UNSPECIFIED) {
      key.key.set_algorithm(sign::v1::ALGORITHM_ECDSA_P384_SHA384);
    }
  }
  key.private_key = std::make_unique<crypto::PrivateKey>(
      crypto::PrivateKey::Generate(AlgorithmFromProto(key.key.algorithm()).value()).value());
  key.key.set_name(name);
  key.key.set_primary_version(name + "/versions/1");
  key.version.set_name(name + "/versions/1");
  key.version.set_algorithm(key.key.algorithm());
  key.version.set_state(sign::v1::KEY_VERSION_STATE_ENABLED);
  key.version.set_spki(key.private_key->public_key().spki_der());
  key.version.set_fingerprint(key.private_key->public_key().Fingerprint());
  *response->mutable_key() = key.key;
  *response->mutable_key_version() = key.version;
  return grpc::Status::OK;
}

grpc::Status FakeSign::GetKey(grpc::ServerContext*, const sign::v1::GetKeyRequest* request,
                              sign::v1::GetKeyResponse* response) {
  const FakeKey* key = Find(request->name());
  if (key == nullptr) return NoSuchKey(request->name());
  *response->mutable_key() = key->key;
  return grpc::Status::OK;
}

// A key a page.
grpc::Status FakeSign::ListKeys(grpc::ServerContext*, const sign::v1::ListKeysRequest* request,
                                sign::v1::ListKeysResponse* response) {
  const auto next = keys_.upper_bound(request->page_token());
  if (next == keys_.end()) return grpc::Status::OK;
  *response->add_keys() = next->second.key;
  if (std::next(next) != keys_.end()) response->set_next_page_token(next->first);
  return grpc::Status::OK;
}

grpc::Status FakeSign::ListKeyVersions(grpc::ServerContext*,
                                       const sign::v1::ListKeyVersionsRequest* request,
                                       sign::v1::ListKeyVersionsResponse* response) {
  const FakeKey* key = Find(request->parent());
  if (key == nullptr) return NoSuchKey(request->parent());
  *response->add_key_versions() = key->version;
  return grpc::Status::OK;
}

grpc::Status FakeSign::DisableKeyVersion(grpc::ServerContext*,
                                         const sign::v1::DisableKeyVersionRequest* request,
                                         sign::v1::DisableKeyVersionResponse* response) {
  FakeKey* key = Find(request->name());
  if (key == nullptr) return NoSuchKey(request->name());
  key->version.set_state(sign::v1::KEY_VERSION_STATE_DISABLED);
  *response->mutable_key_version() = key->version;
  return grpc::Status::OK;
}

grpc::Status FakeSign::DestroyKeyVersion(grpc::ServerContext*,
                                         const sign::v1::DestroyKeyVersionRequest* request,
                                         sign::v1::DestroyKeyVersionResponse* response) {
  FakeKey* key = Find(request->name());
  if (key == nullptr) return NoSuchKey(request->name());
  key->version.set_state(sign::v1::KEY_VERSION_STATE_DESTROYED);
  *response->mutable_key_version() = key->version;
  return grpc::Status::OK;
}

grpc::Status FakeSign::GetPublicKey(grpc::ServerContext*,
                                    const sign::v1::GetPublicKeyRequest* request,
                                    sign::v1::GetPublicKeyResponse* response) {
  const FakeKey* key = Find(request->name());
  if (key == nullptr) return NoSuchKey(request->name());
  response->set_name(key->version.name());
  response->set_spki(key->version.spki());
  response->set_pem(key->private_key->public_key().ToPem());
  return grpc::Status::OK;
}

grpc::Status FakeSign::Sign(grpc::ServerContext*, const sign::v1::SignRequest* request,
                            sign::v1::SignResponse* response) {
  const FakeKey* key = Find(request->name());
  if (key == nullptr) return NoSuchKey(request->name());
  bundle::HashedRekord entry = bundle::SignedEntry(*key->private_key, "");
  entry.digest = request->digest();
  entry.signature = key->private_key->SignDigest(entry.digest).value();
  sign::v1::Signature& signature = *response->mutable_signature();
  signature.set_signature(entry.signature);
  signature.set_algorithm(AlgorithmToProto(entry.algorithm));
  signature.set_key_version(key->version.name());
  if (request->ledger() == sign::v1::LEDGER_WAIT_NONE) return grpc::Status::OK;

  const bundle::LoggedSignature logged =
      log_->Log(bundle::FormatHashedRekord(entry).value(), {0, 1, 2});
  sign::v1::LedgerProof& proof = *signature.mutable_ledger_proof();
  proof.set_log_origin(log_->signer().name());
  proof.set_log_key_id(logged.log_key_id);
  proof.set_canonicalized_body(logged.canonicalized_body);
  proof.set_index(logged.index);
  if (request->ledger() == sign::v1::LEDGER_WAIT_SEQUENCED) return grpc::Status::OK;
  proof.set_tree_size(logged.tree_size);
  for (const std::string& hash : logged.hashes) {
    proof.add_hashes(broken_ ? std::string(32, '\0') : hash);
  }
  proof.set_checkpoint(logged.checkpoint);
  return grpc::Status::OK;
}

grpc::Status FakeLedger::ListLogs(grpc::ServerContext*, const ledger::v1::ListLogsRequest*,
                                  ledger::v1::ListLogsResponse* response) {
  response->add_logs()->set_name(kLogName);
  return grpc::Status::OK;
}

grpc::Status FakeLedger::GetLog(grpc::ServerContext*, const ledger::v1::GetLogRequest* request,
                                ledger::v1::GetLogResponse* response) {
  if (request->name() != kLogName) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no log " + request->name());
  }
  response->mutable_log()->set_name(kLogName);
  response->mutable_log()->set_origin(log_->signer().name());
  response->mutable_log()->set_vkey(log_->signer().vkey());
  response->mutable_log()->set_quorum_policy(log_->PolicyText(2));
  return grpc::Status::OK;
}

}  // namespace countersign::cli
