// Appends the entries "entry FIRST" to "entry LAST" to a ledger, and prints the checkpoint of the
// last answer.
//
//   append_entries HOST:PORT sequenced|integrated|cosigned FIRST LAST
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"

namespace {

namespace pb = ::countersign::ledger::v1;

constexpr int64_t kBatch = 10'000;

int Append(const std::string& address, pb::WaitLevel wait, int64_t first, int64_t last) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  const auto stub = pb::LedgerService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  pb::BatchAppendEntriesResponse response;
  while (first <= last) {
    pb::BatchAppendEntriesRequest request;
    request.set_log("tenants/default/logs/main");
    request.set_wait(wait);
    for (const int64_t end = std::min(last + 1, first + kBatch); first < end; ++first) {
      request.add_entries(absl::StrCat("entry ", first));
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const grpc::Status status = stub->BatchAppendEntries(&context, request, &response);
    if (!status.ok()) {
      std::cerr << "append_entries: " << status.error_message() << "\n";
      return 1;
    }
  }
  std::cout << response.checkpoint();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int64_t first = 0;
  int64_t last = 0;
  pb::WaitLevel wait = pb::WAIT_LEVEL_UNSPECIFIED;
  if (argc == 5) {
    const std::string name = argv[2];
    if (name == "sequenced") wait = pb::WAIT_LEVEL_SEQUENCED;
    if (name == "integrated") wait = pb::WAIT_LEVEL_INTEGRATED;
    if (name == "cosigned") wait = pb::WAIT_LEVEL_COSIGNED;
  }
  if (wait == pb::WAIT_LEVEL_UNSPECIFIED || !absl::SimpleAtoi(argv[3], &first) ||
      !absl::SimpleAtoi(argv[4], &last)) {
    std::cerr << "usage: append_entries HOST:PORT sequenced|integrated|cosigned FIRST LAST\n";
    return 2;
  }
  return Append(argv[1], wait, first, last);
}
