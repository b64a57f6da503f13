#include "libs/pki/path.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/pki/test_authority.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::StatusIs;

constexpr crypto::Algorithm kP256 = crypto::Algorithm::kEcdsaP256Sha256;
constexpr absl::StatusCode kRefused = absl::StatusCode::kFailedPrecondition;

// A root, two intermediates and a leaf, each shaped by a change to what it would be.
struct Chain {
  Chain() : root(MakeTestRoot(kP256)) { Issue(); }

  void Issue() {
    first.emplace(IssueTest(root, first_template));
    second.emplace(IssueTest(*first, second_template));
    leaf.emplace(IssueTest(*second, leaf_template));
  }
  std::vector<Certificate> path() const {
    return {leaf->certificate, second->certificate, first->certificate, root.certificate};
  }
  absl::Status Check(absl::Duration after = absl::ZeroDuration()) {
    Issue();
    return CheckPath(path(), absl::Now() + after);
  }

  TestIdentity root;
  CertificateTemplate first_template = TestCaTemplate("CN=First,O=Example");
  CertificateTemplate second_template = TestCaTemplate("CN=Second,O=Example");
  CertificateTemplate leaf_template = TestLeafTemplate("www.example.com");
  std::optional<TestIdentity> first;
  std::optional<TestIdentity> second;
  std::optional<TestIdentity> leaf;
};

TEST_CASE("A chain that is as it should be holds, down from any of its certificates") {
  Chain chain;
  CHECK_THAT(chain.Check(), IsOk());
  std::vector<Certificate> path = chain.path();
  while (!path.empty()) {
    CHECK_THAT(CheckPath(path, absl::Now()), IsOk());
    path.pop_back();
  }
  CHECK_THAT(CheckPath(path, absl::Now()), StatusIs(kRefused, "no certificate"));
}

TEST_CASE("Certificates must follow one another") {
  Chain chain;
  std::vector<Certificate> path = chain.path();
  std::swap(path[1], path[2]);
  CHECK_THAT(CheckPath(path, absl::Now()), StatusIs(kRefused));
  path = chain.path();
  path.erase(path.begin() + 1);
  CHECK_THAT(CheckPath(path, absl::Now()), StatusIs(kRefused, "certificate 1 of 3"));
  // The same name, another key.
  path = chain.path();
  path[3] = MakeTestRoot(kP256).certificate;
  CHECK_THAT(CheckPath(path, absl::Now()), StatusIs(kRefused, "certificate 3 of 4"));
}

TEST_CASE("Every certificate must be valid") {
  Chain chain;
  CHECK_THAT(chain.Check(absl::Hours(23) - absl::Minutes(1)), IsOk());
  CHECK_THAT(chain.Check(absl::Hours(24) - absl::Minutes(1)), StatusIs(kRefused, "it expired"));
  CHECK_THAT(chain.Check(-absl::Hours(2)), StatusIs(kRefused, "not valid before"));
  const absl::Time last = chain.leaf->certificate.not_after;
  CHECK_THAT(CheckPath(chain.path(), last + absl::Milliseconds(999)), IsOk());
  CHECK_THAT(CheckPath(chain.path(), last + absl::Seconds(1)), StatusIs(kRefused, "it expired"));
}

TEST_CASE("Issuers must be CAs with keyCertSign") {
  Chain chain;
  chain.second_template.basic_constraints.reset();
  CHECK_THAT(chain.Check(), StatusIs(kRefused, "no CA"));
  chain.second_template.basic_constraints = BasicConstraints{.ca = false};
  CHECK_THAT(chain.Check(), StatusIs(kRefused, "no CA"));
  chain.second_template.basic_constraints = BasicConstraints{.ca = true};
  chain.second_template.key_usage = kCrlSign;
  CHECK_THAT(chain.Check(), StatusIs(kRefused, "keyCertSign"));
  chain.second_template.key_usage = 0;
  CHECK_THAT(chain.Check(), IsOk());
}

TEST_CASE("A path length counts the CAs below, but not self-issued ones") {
  Chain chain;
  chain.first_template.basic_constraints->path_length = 1;
  chain.second_template.basic_constraints->path_length = 0;
  CHECK_THAT(chain.Check(), IsOk());
  chain.first_template.basic_constraints->path_length = 0;
  CHECK_THAT(chain.Check(), StatusIs(kRefused, "path length of 0"));
  chain.second_template.subject_der = chain.first_template.subject_der;
  CHECK_THAT(chain.Check(), IsOk());
}

TEST_CASE("Name constraints hold for all below") {
  Chain chain;
  const GeneralName domain = {GeneralName::Kind::kDns, "example.com"};
  chain.first_template.name_constraints.permitted = {domain};
  CHECK_THAT(chain.Check(), IsOk());
  chain.leaf_template.subject_alt_names.push_back({GeneralName::Kind::kDns, "www.example.org"});
  CHECK_THAT(chain.Check(), StatusIs(kRefused, "certificate 1 of 4"));
  chain.leaf_template.subject_alt_names.pop_back();
  chain.second_template.name_constraints.excluded = {{GeneralName::Kind::kDns, "www.example.com"}};
  CHECK_THAT(chain.Check(), StatusIs(kRefused, "certificate 1 of 4"));
}

TEST_CASE("A chain is put in order out of a pool, as far as it is there") {
  Chain chain;
  const std::vector<Certificate> path = chain.path();
  const Certificate impostor = MakeTestRoot(kP256).certificate;
  const auto ders = [](const std::vector<Certificate>& certificates) {
    std::vector<std::string> result;
    for (const Certificate& certificate : certificates) result.push_back(certificate.der);
    return result;
  };
  CHECK(ders(OrderChain(path[0], {impostor, path[3], path[1], path[0], path[2]})) == ders(path));
  CHECK(ders(OrderChain(path[0], {path[3], path[2]})) == ders({path[0]}));
  CHECK(ders(OrderChain(path[0], {path[3], path[1]})) == ders({path[0], path[1]}));
  CHECK(ders(OrderChain(path[3], {path[3], path[3]})) == ders({path[3]}));
}

}  // namespace
}  // namespace countersign::pki
