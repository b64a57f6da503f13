#include "services/ledger/log_registry.h"

#include <atomic>
#include <filesystem>
#include <future>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/fake_log_backend.h"
#include "services/ledger/file_log_backend.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kMain[] = "tenants/default/logs/main";
constexpr char kOrigin[] = "log.example";
const LogName kOther{"acme", "releases"};
constexpr char kOtherOrigin[] = "log.example/tenants/acme/logs/releases";

// The index that the log gives to `entry`.
absl::StatusOr<uint64_t> Append(const Log& log, const std::string& entry) {
  std::promise<absl::StatusOr<uint64_t>> index;
  log.ledger->Append({entry}, Ledger::Level::kIntegrated, absl::InfiniteFuture(),
                     [&](absl::StatusOr<Ledger::Appended> answer) {
                       if (answer.ok()) {
                         index.set_value(answer->placements[0].index);
                       } else {
                         index.set_value(answer.status());
                       }
                     });
  return index.get_future().get();
}

// A registry on a folder, as a service opens it.
std::unique_ptr<LogRegistry> OpenFolder(const testing::TempDir& dir, FakeLogs* fakes,
                                        const std::string& origin = kOrigin) {
  FileLogBackend::Options options;
  options.store.directory = dir.path();
  options.kek_path = dir.path() + "/kek";
  options.main_log = RequireOk(ParseLogName(kMain));
  return RequireOk(LogRegistry::Open(fakes->Options(kMain, origin),
                                     std::make_unique<FileLogBackend>(std::move(options))));
}

TEST_CASE("A log's name has two ids of letters, digits and inner hyphens") {
  for (const std::string& name :
       {std::string("tenants/a/logs/b"), std::string("tenants/0-9/logs/x--y"),
        "tenants/" + std::string(63, 'a') + "/logs/b"}) {
    CHECK(RequireOk(ParseLogName(name)).ToString() == name);
  }
  for (const std::string name :
       {"", "main", "tenants/a", "tenants/a/logs/", "tenants//logs/b", "tenants/a/logs/b/",
        "tenants/a/logs/b/c", "tenants/A/logs/b", "tenants/a/logs/-b", "tenants/a-/logs/b",
        "tenants/a/logs/..", "tenants/a/keys/b", "tenants/a/logs/b_c"}) {
    CHECK_THAT(ParseLogName(name), StatusIs(StatusCode::kInvalidArgument, "tenants/{tenant}"));
  }
  CHECK_THAT(ParseLogName("tenants/" + std::string(64, 'a') + "/logs/b"),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Each log has its own key, origin and entries, and keeps them over a restart") {
  testing::TempDir dir;
  FakeLogs fakes;
  std::string vkey;
  {
    auto logs = OpenFolder(dir, &fakes);
    const Log* log = RequireOk(logs->Create(kOther, "", ""));
    CHECK(log->identity.name == kOther.ToString());
    CHECK(log->identity.origin == kOtherOrigin);
    vkey = log->identity.vkey;
    CHECK(vkey != logs->main_log().identity.vkey);
    CHECK(log->identity.policy_text == absl::StrCat("log ", vkey, "\nquorum none\n"));
    CHECK(RequireOk(Append(logs->main_log(), "first")) == 0);
    CHECK(RequireOk(Append(*log, "first of the other")) == 0);
    CHECK(RequireOk(Append(*log, "second")) == 1);
    CHECK(RequireOk(Append(logs->main_log(), "second")) == 1);
  }
  auto logs = OpenFolder(dir, &fakes);
  const Log* log = RequireOk(logs->Find(kOther.ToString()));
  CHECK(log->identity.vkey == vkey);
  CHECK(Eventually([&] { return log->ledger->signed_head().head.size == 2; }));
  CHECK(RequireOk(Append(*log, "third")) == 2);
  CHECK(Eventually([&] { return logs->main_log().ledger->signed_head().head.size == 2; }));
  // `public` is a whole log of its own.
  CHECK(base::FileExists(absl::StrCat(dir.path(), "/logs/acme/releases/log.vkey")));
}

TEST_CASE("Making a log again finds it; with other arguments it is refused") {
  testing::TempDir dir;
  FakeLogs fakes;
  auto logs = OpenFolder(dir, &fakes);
  const Log* log = RequireOk(logs->Create(kOther, "other.example", "quorum none\n"));
  CHECK(RequireOk(logs->Create(kOther, "other.example", "# nothing more\nquorum none")) == log);
  CHECK(RequireOk(logs->Create(kOther, "other.example", "")) == log);
  CHECK_THAT(logs->Create(kOther, "third.example", ""),
             StatusIs(StatusCode::kAlreadyExists, "other.example"));
  CHECK_THAT(
      logs->Create(kOther, "other.example",
                   absl::StrCat("witness w witness.example/w1+", "00000000+AA", "\nquorum w\n")),
      StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(logs->Create({"acme", "second"}, "other.example", ""),
             StatusIs(StatusCode::kAlreadyExists, kOther.ToString()));
  CHECK_THAT(logs->Create({"acme", "second"}, kOrigin, ""),
             StatusIs(StatusCode::kAlreadyExists, kMain));
  CHECK_THAT(logs->Find("tenants/acme/logs/second"), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("What cannot be an origin or a new log's policy is refused") {
  testing::TempDir dir;
  FakeLogs fakes;
  auto logs = OpenFolder(dir, &fakes);
  for (const std::string& origin : {std::string("a b"), std::string("a+b"), std::string("a\nb"),
                                    std::string(256, 'a'), std::string("\xff")}) {
    CHECK_THAT(logs->Create(kOther, origin, ""), StatusIs(StatusCode::kInvalidArgument, "origin"));
  }
  CHECK_THAT(logs->Create(kOther, "", "nonsense"), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(logs->Create(kOther, "",
                          absl::StrCat("log ", logs->main_log().identity.vkey, "\nquorum none\n")),
             StatusIs(StatusCode::kInvalidArgument, "log line"));
  CHECK_FALSE(std::filesystem::exists(dir.path() + "/logs/acme/releases"));
}

TEST_CASE("A log that a crash left half made is made anew") {
  testing::TempDir dir;
  FakeLogs fakes;
  std::filesystem::create_directories(dir.path() + "/logs/acme/.releases");
  RequireOk(base::WriteFileDurably(dir.path() + "/logs/acme/.releases/log.key", "half"));
  auto logs = OpenFolder(dir, &fakes);
  CHECK_THAT(logs->Find(kOther.ToString()), StatusIs(StatusCode::kNotFound));
  CHECK(RequireOk(Append(*RequireOk(logs->Create(kOther, "", "")), "entry")) == 0);
  CHECK_FALSE(std::filesystem::exists(dir.path() + "/logs/acme/.releases"));
}

TEST_CASE("The main log keeps its origin") {
  testing::TempDir dir;
  FakeLogs fakes;
  OpenFolder(dir, &fakes);
  FileLogBackend::Options options;
  options.store.directory = dir.path();
  options.kek_path = dir.path() + "/kek";
  options.main_log = RequireOk(ParseLogName(kMain));
  CHECK_THAT(LogRegistry::Open(fakes.Options(kMain, "else.example"),
                               std::make_unique<FileLogBackend>(std::move(options))),
             StatusIs(StatusCode::kFailedPrecondition, "log.example"));
}

TEST_CASE("The origin of a log that does not open is taken all the same") {
  testing::TempDir dir;
  FakeLogs fakes;
  {
    auto logs = OpenFolder(dir, &fakes);
    RequireOk(logs->Create(kOther, "", "").status());
  }
  RequireOk(base::WriteFileAtomically(dir.path() + "/logs/acme/releases/state", "damaged"));
  auto logs = OpenFolder(dir, &fakes);
  CHECK_THAT(logs->Find(kOther.ToString()), StatusIs(StatusCode::kDataLoss));
  CHECK_THAT(logs->Create({"acme", "second"}, kOtherOrigin, ""),
             StatusIs(StatusCode::kAlreadyExists, kOther.ToString()));
}

TEST_CASE("A log that does not open leaves the others running and says why") {
  testing::TempDir dir;
  FakeLogs fakes{.directory = dir.path()};
  const auto open = [&] {
    return LogRegistry::Open(fakes.Options(kMain, kOrigin),
                             std::make_unique<FakeLogBackend>(&fakes));
  };
  fakes.origins[kOther.ToString()] = kOtherOrigin;
  fakes.policies[kOther.ToString()] = "quorum none\n";
  fakes.failures[kOther.ToString()] = absl::DataLossError("tile 7 is missing");
  {
    auto logs = RequireOk(open());
    CHECK(RequireOk(Append(logs->main_log(), "entry")) == 0);
    CHECK_THAT(logs->Find(kOther.ToString()), StatusIs(StatusCode::kDataLoss, "tile 7"));
    CHECK_THAT(logs->Create(kOther, "", ""), StatusIs(StatusCode::kDataLoss, "tile 7"));
  }
  fakes.failures = {{kMain, absl::DataLossError("tile 8 is missing")}};
  CHECK_THAT(open(), StatusIs(StatusCode::kDataLoss, "tile 8"));
}

TEST_CASE("Logs are listed by tenant, in order, from any place") {
  testing::TempDir dir;
  FakeLogs fakes{.directory = dir.path()};
  auto logs = RequireOk(
      LogRegistry::Open(fakes.Options(kMain, kOrigin), std::make_unique<FakeLogBackend>(&fakes)));
  for (const char* id : {"c", "a", "b"}) RequireOk(logs->Create({"t", id}, "", "").status());
  RequireOk(logs->Create({"t-2", "a"}, "", "").status());
  const auto names = [&](absl::string_view first, size_t count) {
    std::vector<std::string> list;
    for (const Log* log : logs->List("t", first, count)) list.push_back(log->identity.name);
    return list;
  };
  CHECK(names("", 9) ==
        std::vector<std::string>{"tenants/t/logs/a", "tenants/t/logs/b", "tenants/t/logs/c"});
  CHECK(names("tenants/t/logs/b", 1) == std::vector<std::string>{"tenants/t/logs/b"});
  CHECK(names("tenants/zzz", 9).empty());
  CHECK(logs->List("none", "", 9).empty());
}

TEST_CASE("A log that another process makes on a shared backend is found") {
  testing::TempDir dir;
  FakeLogs fakes{.directory = dir.path(), .shared = true};
  fakes.origins[kOther.ToString()] = kOtherOrigin;
  fakes.policies[kOther.ToString()] = "quorum none\n";
  // Not to be opened at first.
  fakes.failures[kOther.ToString()] = absl::UnavailableError("not yet");
  LogRegistry::Options options = fakes.Options(kMain, kOrigin);
  options.follow_interval = absl::Milliseconds(1);
  std::atomic<int> opened = 0;
  options.on_open = [&](const Log&) { ++opened; };

  class Backend final : public LogBackend {
   public:
    Backend(FakeLogs* fakes, std::atomic<bool>* ready)
        : inner_(fakes), fakes_(fakes), ready_(ready) {}
    absl::StatusOr<std::vector<std::string>> List() override { return inner_.List(); }
    absl::StatusOr<StoredLog> Open(const LogName& name) override {
      if (*ready_) fakes_->failures.clear();
      return inner_.Open(name);
    }
    absl::Status Create(const LogName& name, const std::string& origin,
                        const std::string& policy) override {
      return inner_.Create(name, origin, policy);
    }
    bool shared() const override { return true; }

   private:
    FakeLogBackend inner_;
    FakeLogs* const fakes_;
    std::atomic<bool>* const ready_;
  };
  std::atomic<bool> ready = false;
  auto logs = RequireOk(LogRegistry::Open(options, std::make_unique<Backend>(&fakes, &ready)));
  CHECK(opened == 1);
  CHECK_THAT(logs->Find(kOther.ToString()), StatusIs(StatusCode::kUnavailable, "not yet"));
  ready = true;
  CHECK(Eventually([&] { return logs->Find(kOther.ToString()).ok(); }));
  CHECK(opened == 2);
}

TEST_CASE("After Stop no log is made, and none takes entries") {
  testing::TempDir dir;
  FakeLogs fakes{.directory = dir.path()};
  auto logs = RequireOk(
      LogRegistry::Open(fakes.Options(kMain, kOrigin), std::make_unique<FakeLogBackend>(&fakes)));
  RequireOk(logs->Create(kOther, "", "").status());
  logs->Stop();
  CHECK_THAT(logs->Create({"t", "new"}, "", ""), StatusIs(StatusCode::kUnavailable));
  CHECK_THAT(Append(*RequireOk(logs->Find(kOther.ToString())), "entry"),
             StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace countersign::ledger
