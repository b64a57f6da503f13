#include "libs/runtime/status.h"

#include <grpcpp/support/status.h>

#include <set>
#include <string>

#include "absl/strings/cord.h"
#include "catch2/catch.hpp"
#include "google/rpc/status.pb.h"
#include "libs/testing/matchers.h"

namespace countersign::runtime {
namespace {

using countersign::testing::StatusIs;

TEST_CASE("every code goes to gRPC and comes back as itself") {
  std::set<std::string> names;
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    const grpc::Status mapped = ToGrpcStatus(status);
    CHECK(mapped.error_code() == code);
    const absl::Status back = FromGrpcStatus(mapped);
    CHECK(back.code() == status.code());
    CHECK(back.message() == status.message());
    names.insert(std::string(GrpcCodeName(code)));
  }
  CHECK(names.size() == 17);
  CHECK(GrpcCodeName(0) == "OK");
  CHECK(GrpcCodeName(16) == "Unauthenticated");
}

TEST_CASE("a code that is not defined becomes Unknown") {
  for (const int code : {-1, 17, 31}) {
    CHECK_THAT(FromGrpcStatus(grpc::Status(static_cast<grpc::StatusCode>(code), "odd")),
               StatusIs(absl::StatusCode::kUnknown, "odd"));
    if (code > 0) {
      CHECK(ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "odd")).error_code() ==
            grpc::StatusCode::UNKNOWN);
    }
    CHECK(GrpcCodeName(code) == "Unknown");
  }
}

TEST_CASE("a failure carries a google.rpc.Status that agrees with it") {
  const grpc::Status mapped = ToGrpcStatus(absl::NotFoundError("no key"));
  google::rpc::Status details;
  REQUIRE(details.ParseFromString(mapped.error_details()));
  CHECK(details.code() == 5);
  CHECK(details.message() == "no key");
  REQUIRE(details.details_size() == 1);
  CHECK(details.details(0).type_url() == "type.googleapis.com/google.rpc.ErrorInfo");
  CHECK(ReasonOf(FromGrpcStatus(mapped)) == "NOT_FOUND");
  CHECK(ToGrpcStatus(absl::OkStatus()).error_details().empty());
}

TEST_CASE("reason and retry delay survive the way there and back") {
  absl::Status status = absl::UnavailableError("later");
  CHECK(!ReasonOf(status).has_value());
  CHECK(!RetryAfterOf(status).has_value());
  status = AttachRetryAfter(AttachReason(status, "OLD"), absl::Milliseconds(2750));
  status = AttachReason(status, "WITNESSES_DOWN");
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(status));
  CHECK(ReasonOf(back) == "WITNESSES_DOWN");
  CHECK(RetryAfterOf(back) == absl::Milliseconds(2750));
  CHECK(RetryAfterOf(AttachRetryAfter(status, -absl::Seconds(1))) == absl::ZeroDuration());
  CHECK(AttachReason(absl::OkStatus(), "NOTHING") == absl::OkStatus());
}

TEST_CASE("messages and details are cut to what trailers can hold") {
  absl::Status status = absl::InternalError(std::string(100'000, 'm'));
  status.SetPayload("type.googleapis.com/example.Huge", absl::Cord(std::string(50'000, 'd')));
  status.SetPayload("private/payload", absl::Cord("local"));
  const grpc::Status mapped = ToGrpcStatus(status);
  CHECK(mapped.error_message().size() == 2048);
  CHECK(mapped.error_details().size() < 6000);
  const absl::Status back = FromGrpcStatus(mapped);
  CHECK(ReasonOf(back) == "INTERNAL");
  CHECK(!back.GetPayload("type.googleapis.com/example.Huge").has_value());
  CHECK(!back.GetPayload("private/payload").has_value());
}

TEST_CASE("a message that must be encoded to travel is cut earlier, between two characters") {
  std::string message = "x";
  for (int i = 0; i < 4000; ++i) message += "\u00e9";
  const std::string cut = ToGrpcStatus(absl::InternalError(message)).error_message();
  CHECK(cut.size() == 1 + 2 * 341);  // 1 + 341 * 2 * 3 bytes travel
  CHECK(message.compare(0, cut.size(), cut) == 0);
  CHECK(ToGrpcStatus(absl::InternalError(std::string(4000, '%'))).error_message().size() == 682);
}

TEST_CASE("details that do not parse are ignored") {
  const absl::Status status =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::ABORTED, "raced", "\xff\xff\xff"));
  CHECK_THAT(status, StatusIs(absl::StatusCode::kAborted, "raced"));
  CHECK(!ReasonOf(status).has_value());
}

}  // namespace
}  // namespace countersign::runtime
