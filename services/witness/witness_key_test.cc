#include "services/witness/witness_key.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/crypto/aead.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/testing.h"

namespace countersign::witness {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using testing::TempDir;

// Replicas of one witness: a database, a KEK that they share, and a folder each.
struct Fixture {
  absl::StatusOr<std::string> Open(const std::string& replica, const std::string& kek_path,
                                   const std::string& name = kWitnessName) {
    const auto signer = OpenSharedWitnessKey(*database, dir.path() + "/" + replica, kek_path, name,
                                             base::Clock::System());
    if (!signer.ok()) return signer.status();
    return (*signer)->vkey();
  }
  std::string Path(const std::string& name) const { return dir.path() + "/" + name; }

  TempDir dir;
  const std::string kek = dir.path() + "/shared-kek";
  std::unique_ptr<storage::Database> database = OpenDatabase(dir.path());
};

TEST_CASE("A second replica with the KEK has the key of the first") {
  Fixture f;
  const std::string vkey = RequireOk(f.Open("one", f.kek));
  CHECK(RequireOk(f.Open("two", f.kek)) == vkey);
  CHECK(RequireOk(f.Open("one", f.kek)) == vkey);
  for (const char* replica : {"one/", "two/"}) {
    CHECK(RequireOk(base::ReadFile(f.Path(replica) + "witness.vkey")) == vkey + "\n");
    CHECK_FALSE(base::FileExists(f.Path(replica) + "witness.key"));
  }
  // The witness that opens with it owns the database.
  CHECK_THAT(
      Witness::Open(OpenDatabase(f.dir.path()),
                    {.signer = RequireOk(OpenSharedWitnessKey(
                         *f.database, f.Path("one"), f.kek, kWitnessName, base::Clock::System()))}),
      IsOk());
  CHECK_THAT(
      Witness::Open(OpenDatabase(f.dir.path()), {.signer = note::TestWitnessSigner(kWitnessName)}),
      StatusIs(StatusCode::kFailedPrecondition, vkey));
}

TEST_CASE("Of replicas that start at once one makes the key") {
  Fixture f;
  RequireOk(crypto::Kek::LoadOrCreate(f.kek));
  std::vector<absl::StatusOr<std::string>> vkeys(6);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < vkeys.size(); ++i) {
    threads.emplace_back([&, i] { vkeys[i] = f.Open(absl::StrCat("replica-", i), f.kek); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& vkey : vkeys) CHECK(RequireOk(vkey) == *vkeys[0]);
}

TEST_CASE("A replica without the KEK is not started, and makes none") {
  Fixture f;
  RequireOk(f.Open("one", f.kek));
  CHECK_THAT(f.Open("two", f.Path("other-kek")),
             StatusIs(StatusCode::kFailedPrecondition, "copy the KEK"));
  CHECK_FALSE(base::FileExists(f.Path("other-kek")));
  RequireOk(crypto::Kek::LoadOrCreate(f.Path("other-kek")));
  CHECK_THAT(f.Open("two", f.Path("other-kek")),
             StatusIs(StatusCode::kFailedPrecondition, "does not open"));
  CHECK_FALSE(base::FileExists(f.Path("two/witness.vkey")));
}

TEST_CASE("A witness's name is its database's for ever") {
  Fixture f;
  RequireOk(f.Open("one", f.kek));
  CHECK_THAT(f.Open("two", f.kek, "witness.example/w2"),
             StatusIs(StatusCode::kFailedPrecondition, kWitnessName));
  CHECK_THAT(f.Open("two", f.kek, "not a name"), StatusIs(StatusCode::kInvalidArgument));
  CHECK_FALSE(base::FileExists(f.Path("two/witness.vkey")));
}

TEST_CASE("A witness whose database is lost does not start anew") {
  Fixture f;
  RequireOk(f.Open("one", f.kek));
  TempDir empty;
  f.database = OpenDatabase(empty.path());
  CHECK_THAT(f.Open("one", f.kek), StatusIs(StatusCode::kFailedPrecondition, "new witness"));
  // Nor does another that was made meanwhile take its place.
  RequireOk(f.Open("two", f.kek));
  CHECK_THAT(f.Open("one", f.kek), StatusIs(StatusCode::kFailedPrecondition, "another witness"));
}

TEST_CASE("The database of a witness whose key is in a file is not shared") {
  Fixture f;
  OpenWitness(OpenDatabase(f.dir.path()));
  CHECK_THAT(f.Open("one", f.kek), StatusIs(StatusCode::kFailedPrecondition, "in a file"));
}

}  // namespace
}  // namespace countersign::witness
