#include "services/witness/front_end.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/note/utf8.h"
#include "libs/runtime/error_details.h"

namespace countersign::witness {
namespace {

std::string Public(absl::string_view message) {
  return std::string(PublicStatus(absl::InvalidArgumentError(message)).message());
}

TEST_CASE("A place is free again when its last copy is gone") {
  Admission admission(2);
  std::shared_ptr<void> first = admission.Enter();
  std::shared_ptr<void> second = Admission(admission).Enter();
  CHECK(first != nullptr);
  CHECK(second != nullptr);
  CHECK(admission.Enter() == nullptr);
  CHECK(admission.Enter() == nullptr);
  std::shared_ptr<void> copy = first;
  first.reset();
  CHECK(admission.Enter() == nullptr);
  copy.reset();
  first = admission.Enter();
  CHECK(first != nullptr);
  CHECK(admission.Enter() == nullptr);
}

TEST_CASE("An error message is UTF-8 without control characters") {
  CHECK(Public("the log caf\xc3\xa9 \xe2\x80\x94 no") == "the log caf\xc3\xa9 \xe2\x80\x94 no");
  CHECK(Public("a\xff\xc3(\xed\xa0\x80z") ==
        "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
  CHECK(Public("a\r\nb\x1b[1m\x7f\xc2\x9b") ==
        "a\xef\xbf\xbd\xef\xbf\xbd"
        "b\xef\xbf\xbd[1m\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("An error message is cut between characters, and only when it is too long") {
  const std::string full(kMaxMessageBytes, 'x');
  CHECK(Public(full) == full);
  CHECK(Public(full + "x") == full.substr(3) + "\xe2\x80\xa6");
  for (const char* start : {"", "x", "xx", "xxx"}) {
    std::string text = start;
    while (text.size() < 2 * kMaxMessageBytes) absl::StrAppend(&text, "\xf0\x9f\x94\x91\xff");
    const std::string cut = Public(text);
    CHECK(note::IsUtf8(cut));
    CHECK(cut.size() <= kMaxMessageBytes);
    CHECK(cut.size() > kMaxMessageBytes - 8);
  }
}

TEST_CASE("A status keeps its code and its details") {
  const absl::Status status =
      PublicStatus(runtime::AttachReason(absl::FailedPreconditionError("\xff"), "ROOT_MISMATCH"));
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(runtime::ReasonOf(status) == "ROOT_MISMATCH");
  CHECK(PublicStatus(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace countersign::witness
