// The sign service as real processes: several on one PostgreSQL database, each with a folder of its
// own that holds the KEKs alone.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "catch2/catch.hpp"
#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/pki/certificate.h"
#include "libs/pki/crl.h"
#include "libs/pki/csr.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/storage/testing.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::ChildProcess;
using ::countersign::testing::RequireOk;
using ::countersign::testing::Runfile;
using ::countersign::testing::TempDir;

constexpr char kBinary[] = "services/sign/countersign-sign";
constexpr char kRoot[] = "tenants/default/authorities/root";

std::vector<std::string> Arguments(const std::string& data, const std::string& database) {
  return {"--data", data, "--database", database, "--ledger", "", "--listen", "127.0.0.1:0",
          "--http-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
          // Nobody answers there: neither issuance nor revocation may depend on it.
          "--ocsp", "127.0.0.1:1"};
}

struct Replica {
  Replica(const std::string& data, const std::string& database)
      : process(ChildProcess::StartService(Runfile(kBinary), Arguments(data, database))),
        channel(RequireOk(runtime::MakeChannel(process->grpc_address()))),
        authorities(v1::AuthorityService::NewStub(channel)),
        certificates(v1::CertificateService::NewStub(channel)) {}

  template <typename Stub, typename Request, typename Response>
  static Response Call(Stub& stub,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request) {
    const auto context = runtime::MakeContext(absl::Seconds(30));
    Response response;
    const auto status = runtime::FromGrpcStatus((stub.*method)(context.get(), request, &response));
    INFO(status);
    REQUIRE(status.ok());
    return response;
  }

  std::unique_ptr<ChildProcess> process;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::AuthorityService::Stub> authorities;
  std::unique_ptr<v1::CertificateService::Stub> certificates;
};

void CopyKeks(const std::string& from, const std::string& to) {
  REQUIRE(base::EnsureDirectory(to, 0700).ok());
  for (const char* name : {"/kek", "/ocsp-kek"}) {
    REQUIRE(base::WriteFileDurably(to + name, RequireOk(base::ReadFile(from + name)), 0600).ok());
  }
}

TEST_CASE("What one process makes, another on the same database issues under and revokes") {
  const storage::EmptyDatabase database(storage::Engine::kPostgres);
  const TempDir dir;
  Replica one(dir.path() + "/one", database.url());
  v1::CreateAuthorityRequest create;
  create.set_parent("tenants/default");
  create.set_authority_id("root");
  create.mutable_authority()->set_subject("CN=Root");
  create.mutable_authority()->set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  create.mutable_authority()->set_path_length(-1);
  const v1::Authority root =
      Replica::Call(*one.authorities, &v1::AuthorityService::Stub::CreateAuthority, create)
          .authority();

  CopyKeks(dir.path() + "/one", dir.path() + "/two");
  Replica two(dir.path() + "/two", database.url());
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  v1::IssueCertificateRequest issue;
  issue.set_parent(kRoot);
  issue.set_profile(v1::CERTIFICATE_PROFILE_TLS_SERVER);
  issue.set_csr(RequireOk(
      pki::BuildCsr(pki::Name(), {{pki::GeneralName::Kind::kDns, "www.example.com"}}, key)));
  const v1::Certificate leaf =
      Replica::Call(*two.certificates, &v1::CertificateService::Stub::IssueCertificate, issue)
          .certificate();
  const pki::Certificate parsed = RequireOk(pki::ParseCertificate(leaf.der()));
  CHECK(parsed.CheckIssuedBy(RequireOk(pki::ParseCertificate(root.chain(0)))).ok());

  v1::RevokeCertificateRequest revoke;
  revoke.set_name(leaf.name());
  revoke.set_reason(v1::REVOCATION_REASON_KEY_COMPROMISE);
  CHECK(Replica::Call(*one.certificates, &v1::CertificateService::Stub::RevokeCertificate, revoke)
            .certificate()
            .status() == v1::CERTIFICATE_STATUS_REVOKED);
  v1::GetCrlRequest get;
  get.set_name(kRoot);
  const v1::GetCrlResponse crl =
      Replica::Call(*two.authorities, &v1::AuthorityService::Stub::GetCrl, get);
  const pki::Crl list = RequireOk(pki::ParseCrl(crl.der()));
  REQUIRE(list.revoked.size() == 1);
  CHECK(list.revoked[0].serial == parsed.serial);

  // After both have gone a third finds everything.
  CHECK(one.process->Stop() == 0);
  CHECK(two.process->Stop() == 0);
  CopyKeks(dir.path() + "/one", dir.path() + "/three");
  Replica three(dir.path() + "/three", database.url());
  v1::GetCertificateRequest find;
  find.set_name(leaf.name());
  CHECK(Replica::Call(*three.certificates, &v1::CertificateService::Stub::GetCertificate, find)
            .certificate()
            .revocation_reason() == v1::REVOCATION_REASON_KEY_COMPROMISE);
}

TEST_CASE("A process with a KEK of its own does not start on another's database") {
  const storage::EmptyDatabase database(storage::Engine::kPostgres);
  const TempDir dir;
  Replica one(dir.path() + "/one", database.url());
  const auto refused = [&](const char* missing, const char* message) {
    const std::string data = dir.path() + missing + "-other";
    CopyKeks(dir.path() + "/one", data);
    REQUIRE(std::remove((data + missing).c_str()) == 0);
    ChildProcess process(Runfile(kBinary), Arguments(data, database.url()));
    CHECK(process.Wait() == 1);
    const std::string output = process.output();
    INFO(output);
    CHECK(output.find(message) != std::string::npos);
  };
  refused("/kek", "the key-encryption key is not the one");
  refused("/ocsp-kek", "the OCSP key-encryption key is not the one");
}

}  // namespace
}  // namespace countersign::sign
