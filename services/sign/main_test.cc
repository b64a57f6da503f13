// The sign service as a real process beside a YubiKey agent.
#include <grpcpp/grpcpp.h>

#include "catch2/catch.hpp"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/sign/errors.h"
#include "services/sign/fake_agent.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::ChildProcess;
using ::countersign::testing::RequireOk;
using ::countersign::testing::Runfile;
using ::countersign::testing::TempDir;

struct Process {
  Process(const std::string& data, const std::string& agent)
      : process(ChildProcess::StartService(
            Runfile("services/sign/countersign-sign"),
            {"--data", data, "--ledger", "", "--listen", "127.0.0.1:0", "--http-listen",
             "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--yubikey-agent", agent})),
        stub(v1::SignService::NewStub(RequireOk(runtime::MakeChannel(process->grpc_address())))) {}

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::SignService::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                    const Request& request, Response* response) {
    const auto context = runtime::MakeContext(absl::Seconds(30));
    return runtime::FromGrpcStatus((stub.get()->*method)(context.get(), request, response));
  }

  std::unique_ptr<ChildProcess> process;
  std::unique_ptr<v1::SignService::Stub> stub;
};

TEST_CASE("A process signs with a card once its public key is registered, after a restart too") {
  using Stub = v1::SignService::Stub;
  FakeAgent agent(
      RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519)).public_key());
  testing::InProcessServer server(agent.services());
  const TempDir dir;
  const std::string data = dir.path() + "/sign";
  v1::SignRequest sign;
  sign.set_name("tenants/default/keys/release");
  sign.set_message("release 1.2.3");
  {
    Process process(data, server.address());
    v1::CreateKeyRequest create;
    create.set_parent("tenants/default");
    create.set_key_id("release");
    create.mutable_key()->mutable_backend()->mutable_yubikey()->set_key(kFakeSlot);
    v1::CreateKeyResponse created;
    RequireOk(process.Call(&Stub::CreateKey, create, &created));
    CHECK(created.key().backend().yubikey().key() == agent.KeyName());
    CHECK(created.key_version().spki() == agent.key.public_key().spki_der());

    v1::SignResponse refused;
    CHECK(runtime::ReasonOf(process.Call(&Stub::Sign, sign, &refused)) == kYubikeySessionRefused);
    agent.Register(RequireOk(
        crypto::PublicKey::FromPem(RequireOk(base::ReadFile(data + "/yubikey-caller.pem")))));
    v1::SignResponse answered;
    RequireOk(process.Call(&Stub::Sign, sign, &answered));
    CHECK(RequireOk(agent.key.public_key().VerifyMessage(
        crypto::Algorithm::kEcdsaP256Sha256, sign.message(), answered.signature().signature())));
    CHECK(process.process->Stop() == 0);
  }
  Process again(data, server.address());
  v1::SignResponse answered;
  RequireOk(again.Call(&Stub::Sign, sign, &answered));
  CHECK(again.process->Stop() == 0);
}

}  // namespace
}  // namespace countersign::sign
