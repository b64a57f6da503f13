// Command and response APDUs (ISO/IEC 7816-4 section 5.1), short form, and status words.
//
// Pure functions and values, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PIV_APDU_H_
#define COUNTERSIGN_LIBS_PIV_APDU_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::piv {

// Status words that PIV cards answer; 0x63Cx is a wrong PIN with x tries left, 0x61xx more data.
enum StatusWord : uint16_t {
  kOk = 0x9000,
  kWrongLength = 0x6700,
  kSecurityStatusNotSatisfied = 0x6982,
  kAuthenticationBlocked = 0x6983,
  kConditionsNotSatisfied = 0x6985,
  kWrongData = 0x6A80,
  kFunctionNotSupported = 0x6A81,
  kObjectNotFound = 0x6A82,
  kNoSpace = 0x6A84,
  kWrongParameters = 0x6A86,
  kReferenceNotFound = 0x6A88,
  kWrongReference = 0x6B00,
  kInstructionNotSupported = 0x6D00,
  kClassNotSupported = 0x6E00,
  kUnknownError = 0x6F00,
};

// A command before it is split: `data` may be longer than one APDU holds.
struct Command {
  uint8_t cla = 0;
  uint8_t ins = 0;
  uint8_t p1 = 0;
  uint8_t p2 = 0;
  std::string data;
};

// A response after it was joined.
struct Response {
  std::string data;
  uint16_t sw = 0;

  bool ok() const { return sw == kOk; }
};

// The APDUs that carry `command`: blocks of 255 bytes, all but the last with the chaining bit
// (0x10) in the class. Without Le, and always with Lc, as libykpiv sends them.
std::vector<std::string> EncodeCommand(const Command& command);

// One APDU as it arrives: four bytes, then nothing, Le, Lc and data, or Lc, data and Le. An Lc of
// zero stands for no data. InvalidArgument for what is shorter or longer than it says, or extended.
absl::StatusOr<Command> ParseCommand(absl::string_view apdu);

// Data and the two status bytes. InvalidArgument below two bytes.
absl::StatusOr<Response> ParseResponse(absl::string_view bytes);
std::string EncodeResponse(const Response& response);

// Tries left of 0x63Cx; -1 for another status word.
int TriesLeft(uint16_t sw);

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_APDU_H_
