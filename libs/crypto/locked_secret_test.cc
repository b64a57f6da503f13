#include "libs/crypto/locked_secret.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::crypto {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

absl::string_view View(const SecretBytes& secret) { return secret.Expose(SecretAccess::Grant()); }

struct Mapping {
  std::string range;
  std::string permissions;
  std::vector<std::string> flags;

  bool Has(const char* flag) const {
    return std::find(flags.begin(), flags.end(), flag) != flags.end();
  }
};

std::vector<Mapping> Mappings() {
  std::ifstream smaps("/proc/self/smaps");
  std::vector<Mapping> out;
  std::string line;
  while (std::getline(smaps, line)) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() >= 5 && absl::StrContains(words[0], '-')) {
      out.push_back({words[0], words[1], {}});
    } else if (words[0] == "VmFlags:") {
      out.back().flags.assign(words.begin() + 1, words.end());
    }
  }
  return out;
}

// Positions of pages that are locked, not dumped and wiped in children.
std::vector<size_t> LockedPages(const std::vector<Mapping>& mappings) {
  std::vector<size_t> out;
  for (size_t i = 0; i < mappings.size(); ++i) {
    const Mapping& mapping = mappings[i];
    if (mapping.Has("lo") && mapping.Has("dd") && mapping.Has("wf")) out.push_back(i);
  }
  return out;
}

// What `function` returns in a child process.
int InChild(const std::function<int()>& function) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(function());
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST_CASE("A locked secret is one page, locked, not dumped, between two that nobody may touch") {
  const size_t before = LockedPages(Mappings()).size();
  {
    const LockedSecret secret = RequireOk(LockedSecret::Create(SecretBytes("123456")));
    const std::vector<Mapping> mappings = Mappings();
    const std::vector<size_t> pages = LockedPages(mappings);
    REQUIRE(pages.size() == before + 1);
    const size_t page = pages.back();
    CHECK(mappings[page].permissions == "rw-p");
    REQUIRE(page > 0);
    REQUIRE(page + 1 < mappings.size());
    for (const size_t guard : {page - 1, page + 1}) {
      CHECK(mappings[guard].permissions == "---p");
    }
    const auto border = [&](size_t i, bool end) {
      const std::vector<std::string> ends = absl::StrSplit(mappings[i].range, '-');
      return ends[end ? 1 : 0];
    };
    CHECK(border(page - 1, true) == border(page, false));
    CHECK(border(page, true) == border(page + 1, false));
  }
  CHECK(LockedPages(Mappings()).size() == before);
}

TEST_CASE("A secret is copied out, compared and moved") {
  LockedSecret secret = RequireOk(LockedSecret::Create(SecretBytes("123456")));
  CHECK(secret.size() == 6);
  CHECK(View(secret.Copy()) == "123456");
  CHECK(secret.Equals(SecretBytes("123456")));
  CHECK_FALSE(secret.Equals(SecretBytes("123457")));
  CHECK_FALSE(secret.Equals(SecretBytes("12345")));
  LockedSecret moved = std::move(secret);
  CHECK(View(moved.Copy()) == "123456");
  moved = RequireOk(LockedSecret::Create(SecretBytes("654321")));
  CHECK(View(moved.Copy()) == "654321");
  const LockedSecret none;
  CHECK(none.empty());
  CHECK(none.Copy().empty());
  CHECK(none.Equals(SecretBytes()));
}

TEST_CASE("A page is the most") {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  CHECK_THAT(LockedSecret::Create(SecretBytes(page)), IsOk());
  CHECK_THAT(LockedSecret::Create(SecretBytes(page + 1)),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("A child sees zeros, and its parent the secret") {
  const LockedSecret secret = RequireOk(LockedSecret::Create(SecretBytes("123456")));
  CHECK(InChild([&] { return View(secret.Copy()) == std::string(6, '\0') ? 0 : 1; }) == 0);
  CHECK(View(secret.Copy()) == "123456");
}

TEST_CASE("Memory that cannot be locked is an error that names the limit") {
  const int answer = InChild([] {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 2;
    // The superuser is not bound by the limit.
    if (geteuid() == 0 && setuid(65534) != 0) return 3;
    const absl::Status status = LockedSecret::Create(SecretBytes("123456")).status();
    if (status.code() != absl::StatusCode::kResourceExhausted) return 4;
    return absl::StrContains(status.message(), "RLIMIT_MEMLOCK") ? 0 : 5;
  });
  CHECK(answer == 0);
}

}  // namespace
}  // namespace countersign::crypto
