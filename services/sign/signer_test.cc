#include "services/sign/signer.h"

#include <future>
#include <thread>

#include "catch2/catch.hpp"
#include "libs/base/thread_pool.h"
#include "libs/testing/matchers.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using Result = absl::StatusOr<std::vector<std::string>>;

struct Fixture {
  explicit Fixture(crypto::Algorithm algorithm)
      : key(std::make_shared<const crypto::PrivateKey>(
            RequireOk(crypto::PrivateKey::Generate(algorithm)))) {}

  Result Sign(const std::vector<Payload>& payloads) {
    std::promise<Result> promise;
    signer.Sign(payloads, nullptr, [&](Result result) {
      thread = std::this_thread::get_id();
      promise.set_value(std::move(result));
    });
    return promise.get_future().get();
  }

  std::shared_ptr<const crypto::PrivateKey> key;
  base::ThreadPool executor{2};
  SoftwareSigner signer{key, &executor};
  std::thread::id thread;  // that the answer came on
};

TEST_CASE("Many signatures come back in order, whatever the key") {
  for (crypto::Algorithm algorithm :
       {crypto::Algorithm::kEd25519, crypto::Algorithm::kEcdsaP256Sha256,
        crypto::Algorithm::kRsaPss2048Sha256}) {
    Fixture f(algorithm);
    for (size_t count : {1, 2, 16, 17, 33, 100}) {
      std::vector<std::string> messages;
      for (size_t i = 0; i < count; ++i) messages.push_back("message " + std::to_string(i));
      std::vector<Payload> payloads;
      for (const std::string& message : messages) {
        payloads.push_back({Payload::Kind::kMessage, message});
      }
      const auto signatures = RequireOk(f.Sign(payloads));
      REQUIRE(signatures.size() == count);
      for (size_t i = 0; i < count; ++i) {
        CHECK(RequireOk(f.key->public_key().VerifyMessage(algorithm, messages[i], signatures[i])));
      }
    }
  }
}

TEST_CASE("Cheap signatures are made on the calling thread, dear ones are not") {
  Fixture cheap(crypto::Algorithm::kEcdsaP256Sha256);
  RequireOk(cheap.Sign({{Payload::Kind::kMessage, "m"}}));
  CHECK(cheap.thread == std::this_thread::get_id());
  const std::string large(1 << 20, 'x');
  RequireOk(cheap.Sign({{Payload::Kind::kMessage, large}}));
  CHECK(cheap.thread != std::this_thread::get_id());
  for (crypto::Algorithm algorithm :
       {crypto::Algorithm::kEcdsaP384Sha384, crypto::Algorithm::kRsaPkcs1_2048Sha256}) {
    Fixture dear(algorithm);
    RequireOk(dear.Sign({{Payload::Kind::kMessage, "m"}}));
    CHECK(dear.thread != std::this_thread::get_id());
  }
}

TEST_CASE("One bad digest fails the whole") {
  Fixture f(crypto::Algorithm::kEcdsaP256Sha256);
  const std::string good(32, 'd');
  CHECK_THAT(f.Sign({{Payload::Kind::kDigest, good}, {Payload::Kind::kDigest, "short"}}),
             StatusIs(absl::StatusCode::kInvalidArgument));
  std::vector<Payload> many(64, {Payload::Kind::kDigest, good});
  many[50].bytes = "short";
  CHECK_THAT(f.Sign(many), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::sign
