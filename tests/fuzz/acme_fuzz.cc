#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "libs/acme/client.h"
#include "libs/acme/problem.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace acme = countersign::acme;
namespace crypto = countersign::crypto;
namespace http = countersign::http;

namespace {

constexpr char kDirectory[] =
    R"({"newNonce":"https://a/n","newAccount":"https://a/a","newOrder":"https://a/o",)"
    R"("renewalInfo":"https://a/r"})";

// Answers all but the directory and the account with the input.
class InputServer final : public acme::Transport {
 public:
  explicit InputServer(std::string input) : input_(std::move(input)) {}

  absl::StatusOr<http::Response> Send(const http::ClientRequest& request) override {
    http::Response response = http::MakeResponse(
        200, "application/json", request.url == "https://a/d" ? kDirectory : input_);
    response.headers.Add("Replay-Nonce", "nonce");
    response.headers.Add("Location", "https://a/1");
    return response;
  }

 private:
  const std::string input_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  static const crypto::SecretBytes& key = *new crypto::SecretBytes(
      *crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256)->ToPkcs8());
  acme::Client client(
      {.transport = std::make_shared<InputServer>(input),
       .directory_url = "https://a/d",
       .key = *crypto::PrivateKey::FromPkcs8(key, crypto::Algorithm::kEcdsaP256Sha256)});
  const auto order = client.GetOrder("https://a/o/1");
  if (order.ok()) Holds(order->url == "https://a/o/1", "an order keeps its URL");
  const auto authorization = client.GetAuthorization("https://a/z/1");
  Holds(order.ok() || absl::IsUnavailable(order.status()), "what is no order may become one");
  if (authorization.ok()) {
    Holds(authorization->retry_after >= absl::ZeroDuration(), "nobody waits for the past");
  }
  const auto window = client.GetRenewalWindow("key id", "serial");
  if (window.ok()) {
    Holds(window->has_value() && (*window)->start <= (*window)->end, "a window has an inside");
  }
  for (const int status : {0, 400, 404, 429, 500}) {
    Holds(!acme::ProblemStatus(input, status).ok(), "a problem is a failure");
  }
  return 0;
}
