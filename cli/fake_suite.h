// A sign, a ledger and an ocsp service in the test's own process, just real enough to sign files
// and to issue certificates: keys in memory, and a log of six entries that three witnesses cosign.
#ifndef COUNTERSIGN_CLI_FAKE_SUITE_H_
#define COUNTERSIGN_CLI_FAKE_SUITE_H_

#include <map>
#include <memory>
#include <string>

#include "cli/fake_certificates.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "libs/bundle/test_log.h"
#include "libs/crypto/private_key.h"
#include "libs/testing/in_process_server.h"

namespace countersign::cli {

class FakeSign : public sign::v1::SignService::Service {
 public:
  explicit FakeSign(const bundle::TestLog* log) : log_(log) {}

  // Answers that the ledger hands out proofs that do not hold, from now on.
  void BreakProofs() { broken_ = true; }

  grpc::Status CreateKey(grpc::ServerContext*, const sign::v1::CreateKeyRequest* request,
                         sign::v1::CreateKeyResponse* response) override;
  grpc::Status GetKey(grpc::ServerContext*, const sign::v1::GetKeyRequest* request,
                      sign::v1::GetKeyResponse* response) override;
  grpc::Status ListKeys(grpc::ServerContext*, const sign::v1::ListKeysRequest* request,
                        sign::v1::ListKeysResponse* response) override;
  grpc::Status ListKeyVersions(grpc::ServerContext*,
                               const sign::v1::ListKeyVersionsRequest* request,
                               sign::v1::ListKeyVersionsResponse* response) override;
  grpc::Status DisableKeyVersion(grpc::ServerContext*,
                                 const sign::v1::DisableKeyVersionRequest* request,
                                 sign::v1::DisableKeyVersionResponse* response) override;
  grpc::Status DestroyKeyVersion(grpc::ServerContext*,
                                 const sign::v1::DestroyKeyVersionRequest* request,
                                 sign::v1::DestroyKeyVersionResponse* response) override;
  grpc::Status GetPublicKey(grpc::ServerContext*, const sign::v1::GetPublicKeyRequest* request,
                            sign::v1::GetPublicKeyResponse* response) override;
  grpc::Status Sign(grpc::ServerContext*, const sign::v1::SignRequest* request,
                    sign::v1::SignResponse* response) override;

 private:
  struct FakeKey {
    sign::v1::Key key;
    sign::v1::KeyVersion version;
    std::unique_ptr<crypto::PrivateKey> private_key;
  };

  // The key of this name or of this version's name; null when there is none.
  FakeKey* Find(const std::string& name);

  const bundle::TestLog* log_;
  std::map<std::string, FakeKey> keys_;
  bool broken_ = false;
};

class FakeLedger : public ledger::v1::LedgerService::Service {
 public:
  explicit FakeLedger(const bundle::TestLog* log) : log_(log) {}

  grpc::Status ListLogs(grpc::ServerContext*, const ledger::v1::ListLogsRequest* request,
                        ledger::v1::ListLogsResponse* response) override;
  grpc::Status GetLog(grpc::ServerContext*, const ledger::v1::GetLogRequest* request,
                      ledger::v1::GetLogResponse* response) override;

 private:
  const bundle::TestLog* log_;
};

struct FakeSuite {
  bundle::TestLog log;
  FakeSign sign{&log};
  FakeLedger ledger{&log};
  FakePki pki;
  FakeAuthorities authorities{&pki};
  FakeInventory inventory{&pki};
  FakeQueue queue{&pki};
  FakeOcsp ocsp{&pki};
  testing::InProcessServer server{{&sign, &ledger, &authorities, &inventory, &queue, &ocsp}};
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_FAKE_SUITE_H_
