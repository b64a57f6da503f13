#include "libs/testing/piv/card_transport.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libs/base/status_macros.h"
#include "libs/piv/apdu.h"

namespace countersign::testing::piv {
namespace {

constexpr absl::string_view kGetResponseApdu("\x00\xC0\x00\x00\x00", 5);

bool HasMore(uint16_t sw) { return sw >> 8 == 0x61; }

}  // namespace

absl::StatusOr<countersign::piv::Response> CardTransport::Transmit(
    const countersign::piv::Command& command) {
  countersign::piv::Response response;
  for (const std::string& apdu : countersign::piv::EncodeCommand(command)) {
    ASSIGN_OR_RETURN(const std::string answer, card_->Transmit(apdu));
    ASSIGN_OR_RETURN(response, countersign::piv::ParseResponse(answer));
    // A block that is refused ends the chain.
    if (!response.ok() && !HasMore(response.sw)) return response;
  }
  while (HasMore(response.sw)) {
    ASSIGN_OR_RETURN(const std::string answer, card_->Transmit(kGetResponseApdu));
    ASSIGN_OR_RETURN(const countersign::piv::Response more,
                     countersign::piv::ParseResponse(answer));
    absl::StrAppend(&response.data, more.data);
    response.sw = more.sw;
  }
  return response;
}

}  // namespace countersign::testing::piv
