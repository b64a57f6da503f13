#include "cli/secret_input.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::cli {
namespace {

using testing::RequireOk;
using testing::StatusIs;

std::string Text(const absl::StatusOr<crypto::SecretBytes>& secret) {
  RequireOk(secret.status());
  return std::string(secret->Expose(crypto::SecretAccess::Grant()));
}

struct Typed {
  std::string screen;  // what the terminal shows
  std::string result;  // what `ask` made of it
};

// Runs `ask` at a terminal of its own, where someone types the answers, each once a prompt ends.
Typed AtTerminal(const std::vector<std::string>& answers, const std::function<std::string()>& ask) {
  int result_pipe[2];
  REQUIRE(pipe(result_pipe) == 0);
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string result = ask();
    const bool written =
        write(result_pipe[1], result.data(), result.size()) == static_cast<ssize_t>(result.size());
    _exit(written ? 0 : 1);
  }
  close(result_pipe[1]);
  Typed typed;
  size_t answered = 0;
  size_t prompts = 0;
  char next = 0;
  // A terminal whose process has ended answers EIO.
  while (read(terminal, &next, 1) == 1) {
    typed.screen += next;
    if (!absl::EndsWith(typed.screen, ": ") || ++prompts > answers.size()) continue;
    const std::string& answer = answers[answered++];
    REQUIRE(write(terminal, answer.data(), answer.size()) == static_cast<ssize_t>(answer.size()));
  }
  while (read(result_pipe[0], &next, 1) == 1) typed.result += next;
  close(result_pipe[0]);
  close(terminal);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  return typed;
}

std::string Answer(bool twice) {
  const auto secret = GetSecret("", "PIN of the card", "--pin-file", twice);
  return secret.ok() ? std::string(secret->Expose(crypto::SecretAccess::Grant()))
                     : std::string(secret.status().message());
}

TEST_CASE("What is typed is not shown, and can be corrected") {
  const Typed typed = AtTerminal({"12x\x7f"
                                  "3456\r"},
                                 [] { return Answer(false); });
  CHECK(typed.result == "123456");
  CHECK(absl::StrContains(typed.screen, "PIN of the card: "));
  for (const char* shown : {"12", "34", "x"}) CHECK_FALSE(absl::StrContains(typed.screen, shown));
}

TEST_CASE("Ctrl-C and Ctrl-D end the asking") {
  CHECK(AtTerminal({"123\x03"}, [] { return Answer(false); }).result ==
        "interrupted; nothing was done");
  CHECK(AtTerminal({"\x04"}, [] { return Answer(false); }).result ==
        "interrupted; nothing was done");
  CHECK(AtTerminal({"\r"}, [] { return Answer(false); }).result ==
        "nothing was typed; nothing was done");
}

TEST_CASE("A new secret is typed twice alike") {
  CHECK(AtTerminal({"123456\r", "123456\r"}, [] { return Answer(true); }).result == "123456");
  CHECK(AtTerminal({"123456\r", "123457\r"}, [] { return Answer(true); }).result ==
        "the two differ; nothing was done");
}

TEST_CASE("The first line of a file is the secret, whatever its line end") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/secret";
  for (const char* contents : {"s e c", "s e c\n", "s e c\r\nmore\n"}) {
    RequireOk(base::WriteFileAtomically(path, contents, 0600));
    CHECK(Text(ReadSecretLine(path)) == "s e c");
  }
  RequireOk(base::WriteFileAtomically(path, "\nsecond", 0600));
  CHECK_THAT(ReadSecretLine(path), StatusIs(absl::StatusCode::kInvalidArgument, path));
  RequireOk(base::WriteFileAtomically(path, std::string(4096, 'x'), 0600));
  CHECK(Text(ReadSecretLine(path)).size() == 4096);
  RequireOk(base::WriteFileAtomically(path, std::string(4097, 'x'), 0600));
  CHECK_THAT(ReadSecretLine(path), StatusIs(absl::StatusCode::kInvalidArgument, "too long"));
  CHECK_THAT(ReadSecretLine(dir.path() + "/none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("A file that others may read is refused") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/secret";
  RequireOk(base::WriteFileAtomically(path, "secret", 0640));
  CHECK_THAT(ReadSecretLine(path), StatusIs(absl::StatusCode::kPermissionDenied, "chmod 600"));
}

}  // namespace
}  // namespace countersign::cli
