#include "libs/note/add_checkpoint.h"

#include <string>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::note {
namespace {

using testing::RequireOk;
using testing::StatusIs;

constexpr char kHashLine[] = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";

TEST_CASE("a request body is read and written") {
  const std::string body = std::string("old 20852014\n") + kHashLine + kHashLine +
                           "\nexample.com/behind-the-sofa\n20852163\n\nwhatever follows";
  const AddCheckpointRequest request = RequireOk(ParseAddCheckpoint(body));
  CHECK(request.old_size == 20852014);
  REQUIRE(request.proof.size() == 2);
  CHECK(merkle::EncodeHash(request.proof[0]) + "\n" == kHashLine);
  CHECK(request.checkpoint == "example.com/behind-the-sofa\n20852163\n\nwhatever follows");
  CHECK(FormatAddCheckpoint(request) == body);
}

TEST_CASE("a first request has no proof") {
  const AddCheckpointRequest request = RequireOk(ParseAddCheckpoint("old 0\n\ncheckpoint"));
  CHECK(request.old_size == 0);
  CHECK(request.proof.empty());
  CHECK(request.checkpoint == "checkpoint");
}

TEST_CASE("malformed bodies are refused") {
  std::string many = "old 1\n";
  for (size_t i = 0; i <= kMaxAddCheckpointHashes; ++i) many += kHashLine;
  for (const std::string& body :
       std::vector<std::string>{"",
                                "\n",
                                "old 1",
                                "old 1\n",
                                "old\n\nx",
                                "old \n\nx",
                                "old 01\n\nx",
                                "old -1\n\nx",
                                "old 1 \n\nx",
                                "old  1\n\nx",
                                "old 1\r\n\nx",
                                "OLD 1\n\nx",
                                "new 1\n\nx",
                                " old 1\n\nx",
                                "old 9223372036854775808\n\nx",
                                std::string("old 1\n") + kHashLine,
                                "old 1\nAAAA\n\nx",
                                "old 1\nnonsense\n\nx",
                                "old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw\n\nx",
                                "old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkax=\n\nx",
                                many + "\nx"}) {
    CAPTURE(body);
    CHECK_THAT(ParseAddCheckpoint(body), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("the longest proof that a witness takes is read") {
  std::string body = "old 1\n";
  for (size_t i = 0; i < kMaxAddCheckpointHashes; ++i) body += kHashLine;
  CHECK(RequireOk(ParseAddCheckpoint(body + "\nx")).proof.size() == 63);
}

TEST_CASE("the size in a conflict's body is read") {
  CHECK(RequireOk(ParseTlogSize("0\n")) == 0);
  CHECK(RequireOk(ParseTlogSize("20852014\n")) == 20852014);
  for (const char* body : {"", "\n", "1", "1\n\n", "01\n", "x\n", "-1\n"}) {
    CAPTURE(body);
    CHECK_THAT(ParseTlogSize(body), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace countersign::note
