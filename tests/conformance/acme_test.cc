// Our ACME client, queue and challenge server against Pebble, Let's Encrypt's test authority.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/acme/client.h"
#include "libs/acme/https_transport.h"
#include "libs/acme/issuance.h"
#include "libs/base/file.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/private_key.h"
#include "libs/http/router.h"
#include "libs/http/server.h"
#include "libs/pki/csr.h"
#include "libs/pki/general_name.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/subprocess.h"
#include "libs/storage/database.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/sign/certificates/acme_challenges.h"
#include "services/sign/certificates/acme_upstream.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/issuance_queue.h"
#include "services/sign/certificates/tracked_inventory.h"
#include "services/sign/schema.h"

namespace countersign {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
namespace v1 = sign::v1;

constexpr char kMacKey[] = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

std::string Tool(const std::string& name) {
  const char* tools = std::getenv("COUNTERSIGN_TOOLS");
  const char* home = std::getenv("HOME");
  const std::string folder =
      tools != nullptr && *tools != '\0'
          ? tools
          : absl::StrCat(home == nullptr ? "" : home, "/.cache/countersign/tools");
  const std::string path = absl::StrCat(folder, "/bin/", name);
  INFO(path << " is missing: run scripts/install-tools");
  REQUIRE(base::FileExists(path));
  return path;
}

// A port of 127.0.0.1 that nobody has at the moment.
int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

bool Listens(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return connected;
}

// Pebble, which validates at `http_port`, with a name server by which every name is 127.0.0.1. Half
// of the nonces it is shown are refused.
class Pebble {
 public:
  explicit Pebble(int http_port, bool eab = false) {
    const std::string key = dir_.path() + "/key.pem";
    const std::string certificate = dir_.path() + "/cert.pem";
    runtime::SubprocessOptions openssl;
    openssl.binary = "/usr/bin/openssl";
    openssl.args = {"req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-nodes",
                    "-days",
                    "2",
                    "-subj",
                    "/CN=pebble",
                    "-addext",
                    "subjectAltName=IP:127.0.0.1",
                    "-keyout",
                    key,
                    "-out",
                    certificate};
    openssl.log_file = dir_.path() + "/openssl.log";
    REQUIRE(RequireOk(RequireOk(runtime::Subprocess::Start(openssl))->Wait(absl::Minutes(1))) == 0);
    ca_pem_ = RequireOk(base::ReadFile(certificate));

    const int dns = FreePort();
    const int dns_management = FreePort();
    names_ = Run("pebble-challtestsrv",
                 {"-dnsserver", absl::StrCat("127.0.0.1:", dns), "-management",
                  absl::StrCat("127.0.0.1:", dns_management), "-defaultIPv4", "127.0.0.1",
                  "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""},
                 {}, dns_management);
    const int port = FreePort();
    const std::string config = dir_.path() + "/config.json";
    RequireOk(base::WriteFileAtomically(
        config, absl::StrCat(R"({"pebble":{"listenAddress":"127.0.0.1:)", port,
                             R"(","managementListenAddress":"127.0.0.1:)", FreePort(),
                             R"(","certificate":")", certificate, R"(","privateKey":")", key,
                             R"(","httpPort":)", http_port, R"(,"tlsPort":)", FreePort(),
                             R"(,"ocspResponderURL":"","externalAccountBindingRequired":)",
                             eab ? "true" : "false", R"(,"externalAccountMACKeys":{"kid-1":")",
                             kMacKey, R"("},"domainBlocklist":["blocked.example"],)",
                             R"("retryAfter":{"authz":1,"order":1},"keyAlgorithm":"ecdsa"}})")));
    pebble_ =
        Run("pebble", {"-config", config, "-dnsserver", absl::StrCat("127.0.0.1:", dns)},
            {"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=50", "PEBBLE_AUTHZREUSE=0"}, port);
    directory_ = absl::StrCat("https://127.0.0.1:", port, "/dir");
  }

  acme::Client::Options ClientOptions() const {
    return {.transport = std::make_shared<acme::HttpsTransport>(
                acme::HttpsTransport::Options{.ca_pem = ca_pem_}),
            .directory_url = directory_,
            .key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256))};
  }
  const std::string& directory() const { return directory_; }

 private:
  std::unique_ptr<runtime::Subprocess> Run(const std::string& name, std::vector<std::string> args,
                                           std::vector<std::string> env, int port) {
    runtime::SubprocessOptions options;
    options.binary = Tool(name);
    options.args = std::move(args);
    options.env = std::move(env);
    options.log_file = absl::StrCat(dir_.path(), "/", name, ".log");
    auto process = RequireOk(runtime::Subprocess::Start(options));
    const bool up = Eventually([&] { return Listens(port) || !process->Running(); });
    INFO(RequireOk(base::ReadFile(options.log_file)));
    REQUIRE(up);
    REQUIRE(process->Running());
    return process;
  }

  const testing::TempDir dir_;
  std::string ca_pem_;
  std::string directory_;
  std::unique_ptr<runtime::Subprocess> names_;
  std::unique_ptr<runtime::Subprocess> pebble_;
};

// A database, and a replica that answers challenges from it.
struct Service {
  Service() {
    RequireOk(sign::MigrateSchema(*database));
    http::Router router;
    RequireOk(answering.AddTo(&router));
    server = RequireOk(http::Server::Listen({}, router.AsHandler()));
  }

  testing::TempDir dir;
  std::unique_ptr<storage::Database> database =
      RequireOk(storage::Database::Open("sqlite:" + dir.path() + "/test.db"));
  base::ThreadPool executor{2};
  // One replica publishes, another one is asked.
  sign::AcmeChallenges publishing{database.get(), &executor};
  sign::AcmeChallenges answering{database.get(), &executor};
  std::unique_ptr<http::Server> server;
};

std::string MakeCsr(const std::vector<std::string>& hosts) {
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  std::vector<pki::GeneralName> names;
  for (const std::string& host : hosts) names.push_back({pki::GeneralName::Kind::kDns, host});
  return RequireOk(pki::BuildCsr({}, names, key));
}

// Publishes something else than it was told.
class WrongAnswers final : public acme::ChallengeResponder {
 public:
  explicit WrongAnswers(acme::ChallengeResponder* right) : right_(right) {}
  absl::Status Publish(const std::string& token, const std::string&) override {
    return right_->Publish(token, token + ".wrong");
  }
  void Withdraw(const std::string& token) override { right_->Withdraw(token); }

 private:
  acme::ChallengeResponder* const right_;
};

TEST_CASE("Through the queue a certificate comes from an ACME server into the inventory") {
  Service service;
  const Pebble pebble(service.server->port());
  sign::CertificateStore certificates({.database = service.database.get()});
  sign::IssuanceStore store(service.database.get(), 100, 3);
  sign::RenewalStore renewals(service.database.get(), 3);
  base::ThreadPool threads(8);
  const auto upstream = std::make_shared<sign::AcmeUpstream>(sign::AcmeUpstream::Options{
      .client = pebble.ClientOptions(), .challenges = &service.publishing, .threads = &threads});
  sign::IssuanceQueue queue({.issuances = &store,
                             .renewals = &renewals,
                             .find_upstream = [&](const sign::ResourceId&) { return upstream; },
                             .track = sign::TrackInInventory(&certificates)});
  const auto enqueue = [&](const std::string& id, const std::vector<std::string>& hosts) {
    sign::NewIssuance issuance;
    issuance.name = {"default", id};
    issuance.request.set_profile(v1::CERTIFICATE_PROFILE_TLS_SERVER);
    issuance.request.set_csr(MakeCsr(hosts));
    issuance.request.set_owner_team("web");
    RequireOk(queue.Enqueue({issuance}));
  };
  const auto end_of = [&](const std::string& id) {
    v1::Issuance issuance;
    REQUIRE(Eventually([&] {
      issuance = RequireOk(store.Get({"default", id}));
      return issuance.state() == v1::ISSUANCE_STATE_SUCCEEDED ||
             issuance.state() == v1::ISSUANCE_STATE_FAILED;
    }));
    return issuance;
  };
  // Several at once, one of them with two names.
  for (int i = 0; i < 4; ++i) {
    enqueue(absl::StrCat("i", i), {absl::StrCat("host-", i, ".example.com")});
  }
  enqueue("two", {"a.example.com", "b.example.com"});
  enqueue("blocked", {"blocked.example"});
  for (int i = 0; i < 4; ++i) {
    const v1::Issuance issuance = end_of(absl::StrCat("i", i));
    INFO(issuance.error().message());
    REQUIRE(issuance.state() == v1::ISSUANCE_STATE_SUCCEEDED);
    const v1::Certificate certificate = RequireOk(certificates.Get(issuance.certificate()));
    REQUIRE(certificate.host_names_size() == 1);
    CHECK(certificate.host_names(0) == absl::StrCat("host-", i, ".example.com"));
    CHECK(certificate.authority().empty());
    CHECK(certificate.owner_team() == "web");
    CHECK(certificate.status() == v1::CERTIFICATE_STATUS_ACTIVE);
    // Pebble tells when it wants it renewed (RFC 9773).
    CHECK(certificate.renew_time().seconds() > certificate.not_before().seconds());
    CHECK(certificate.renew_time().seconds() < certificate.not_after().seconds());
    CHECK_FALSE(RequireOk(certificates.GetCsr(certificate.name())).empty());
  }
  const v1::Issuance two = end_of("two");
  INFO(two.error().message());
  REQUIRE(two.state() == v1::ISSUANCE_STATE_SUCCEEDED);
  CHECK(RequireOk(certificates.Get(two.certificate())).host_names_size() == 2);
  const v1::Issuance blocked = end_of("blocked");
  CHECK(blocked.state() == v1::ISSUANCE_STATE_FAILED);
  CHECK(blocked.tries() == 1);
  CHECK(blocked.error().code() == static_cast<int>(StatusCode::kInvalidArgument));
  CHECK(blocked.error().reason() == "ACME_REJECTED_IDENTIFIER");
  // Nothing is left to be answered.
  CHECK(RequireOk(service.database->Query("SELECT COUNT(*) FROM acme_challenges"))[0].Int(0) == 0);
}

TEST_CASE("A challenge that is answered wrongly is a failure that names the host and is final") {
  Service service;
  const Pebble pebble(service.server->port());
  acme::Client client(pebble.ClientOptions());
  WrongAnswers wrong(&service.publishing);
  const absl::StatusOr<std::string> chain =
      acme::IssueByHttp01({.client = &client,
                           .challenges = &wrong,
                           .save = [](const std::string&) { return absl::OkStatus(); },
                           .sleep =
                               [](absl::Duration wait) {
                                 absl::SleepFor(wait);
                                 return true;
                               }},
                          {{acme::Identifier::Type::kDns, "wrong.example.com"}},
                          RequireOk(pki::ParseCsr(MakeCsr({"wrong.example.com"}))).der, "");
  CHECK_THAT(chain, StatusIs(StatusCode::kFailedPrecondition, "wrong.example.com"));
  CHECK(sign::IsPermanent(chain.status()));
  CHECK(runtime::ReasonOf(chain.status()) == "ACME_UNAUTHORIZED");
}

TEST_CASE("A second process goes on with the order of the first, wherever that was") {
  Service service;
  const Pebble pebble(service.server->port());
  const auto key = RequireOk(
      RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256)).ToPkcs8());
  const std::string csr = MakeCsr({"resumed.example.com"});
  std::vector<std::string> saved;
  bool done = false;
  // Each process dies one wait later than the one before.
  for (int lives = 0; !done; ++lives) {
    REQUIRE(lives < 50);
    acme::Client::Options options = pebble.ClientOptions();
    options.key =
        RequireOk(crypto::PrivateKey::FromPkcs8(key, crypto::Algorithm::kEcdsaP256Sha256));
    acme::Client client(std::move(options));
    int waits = 0;
    const absl::StatusOr<std::string> chain = acme::IssueByHttp01(
        {.client = &client,
         .challenges = &service.publishing,
         .save =
             [&](const std::string& url) {
               saved.push_back(url);
               return lives == 0 ? absl::AbortedError("died") : absl::OkStatus();
             },
         .sleep =
             [&](absl::Duration wait) {
               absl::SleepFor(absl::Milliseconds(50));
               return waits++ < lives;
             }},
        {{acme::Identifier::Type::kDns, "resumed.example.com"}}, csr,
        saved.empty() ? "" : saved.back());
    if (chain.ok()) {
      CHECK(chain->find("BEGIN CERTIFICATE") != std::string::npos);
      done = true;
    } else {
      INFO(chain.status());
      REQUIRE((absl::IsCancelled(chain.status()) || absl::IsAborted(chain.status())));
    }
  }
  CHECK(saved.size() == 1);
}

TEST_CASE("A server that admits only known customers takes an external account binding") {
  Service service;
  const Pebble pebble(service.server->port(), /*eab=*/true);
  const std::vector<acme::Identifier> identifiers = {
      {acme::Identifier::Type::kDns, "eab.example.com"}};
  acme::Client stranger(pebble.ClientOptions());
  const auto refused = stranger.NewOrder(identifiers);
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(refused.status()) == "ACME_EXTERNAL_ACCOUNT_REQUIRED");
  acme::Client::Options options = pebble.ClientOptions();
  options.eab_key_id = "kid-1";
  std::string mac_key;
  REQUIRE(absl::WebSafeBase64Unescape(kMacKey, &mac_key));
  options.eab_key = crypto::SecretBytes(absl::string_view(mac_key));
  acme::Client known(std::move(options));
  CHECK_THAT(known.NewOrder(identifiers), IsOk());
}

TEST_CASE("A server whose certificate does not check out is not talked to") {
  Service service;
  const Pebble pebble(service.server->port());
  acme::HttpsTransport transport({});
  http::ClientRequest request;
  request.url = pebble.directory();
  CHECK_THAT(transport.Send(request), StatusIs(StatusCode::kFailedPrecondition));
  request.url = "http://127.0.0.1/";
  CHECK_THAT(transport.Send(request), StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign
