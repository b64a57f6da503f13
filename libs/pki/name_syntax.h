// Host names, addresses and the hosts of mailboxes and URIs. For the other files of general_name.
#ifndef COUNTERSIGN_LIBS_PKI_NAME_SYNTAX_H_
#define COUNTERSIGN_LIBS_PKI_NAME_SYNTAX_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

// As CheckSyntax of a DNS name says; with `wildcard` false, "*" is refused.
absl::Status CheckHostName(absl::string_view name, bool wildcard);

// 4 or 16 bytes; empty when `text` is no IP address.
std::string ParseIp(absl::string_view text);

// The host in "scheme://user@host:port/…", as it stands there; empty when there is none. An IPv6
// address keeps its brackets.
absl::string_view UriHost(absl::string_view uri);
bool IsIpHost(absl::string_view host);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_NAME_SYNTAX_H_
