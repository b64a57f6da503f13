#include "services/yubikey-agent/call_guard.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/pki/pem.h"

namespace countersign::yubikey {
namespace {

constexpr absl::string_view kBearer = "bearer ";

absl::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

// "ipv4:192.0.2.1:53124" and "ipv6:[2001:db8::1]:53124" without their port; "unix:…" as it is.
absl::string_view WithoutPort(absl::string_view peer) {
  if (!absl::StartsWith(peer, "ipv4:") && !absl::StartsWith(peer, "ipv6:")) return peer;
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace

absl::string_view TokenOf(const grpc::CallbackServerContext& context) {
  const auto [first, last] = context.client_metadata().equal_range("authorization");
  // With two of them it would be a guess which one is meant.
  if (first == last || std::next(first) != last) return {};
  const absl::string_view value = View(first->second);
  if (!absl::StartsWithIgnoreCase(value, kBearer)) return {};
  return value.substr(kBearer.size());
}

std::string TransportIdentity(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    const auto certificates = auth->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
    if (!certificates.empty()) {
      const absl::string_view pem = View(certificates.front());
      const absl::StatusOr<std::string> der = pki::DerFromDerOrPem(pem, "CERTIFICATE");
      return absl::StrCat("tls:",
                          base::HexEncode(base::AsBytes(crypto::Sha256(der.ok() ? *der : pem))));
    }
  }
  const std::string peer = context.peer();
  return absl::StrCat("host:", WithoutPort(peer));
}

absl::Status Authorize(const grpc::CallbackServerContext& context, Sessions* sessions,
                       Operation operation, absl::string_view name) {
  return sessions->Check(TokenOf(context), TransportIdentity(context), operation, name);
}

}  // namespace countersign::yubikey
