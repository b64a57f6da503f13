// An ACME client (RFC 8555) with renewal information (RFC 9773).
#ifndef COUNTERSIGN_LIBS_ACME_CLIENT_H_
#define COUNTERSIGN_LIBS_ACME_CLIENT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/acme/transport.h"
#include "libs/base/clock.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/secret.h"

namespace countersign::acme {

// What a certificate is asked for (RFC 8555 section 7.1.3).
struct Identifier {
  enum class Type { kDns, kIp } type = Type::kDns;
  std::string value;

  friend bool operator==(const Identifier& a, const Identifier& b) {
    return a.type == b.type && a.value == b.value;
  }
  friend bool operator<(const Identifier& a, const Identifier& b) {
    return a.type != b.type ? a.type < b.type : a.value < b.value;
  }
};

// Section 7.1.6.
enum class Progress { kPending, kReady, kProcessing, kValid, kInvalid };

struct Order {
  std::string url;
  Progress status = Progress::kPending;
  std::vector<std::string> authorizations;
  std::string finalize_url;
  std::string certificate_url;  // of a valid one
  absl::Status error;           // of an invalid one, when the server says why
  // When the server wants to be asked again; zero when it does not say.
  absl::Duration retry_after;
};

struct Authorization {
  Progress status = Progress::kPending;
  std::string identifier;
  // The http-01 challenge (section 8.3); empty when none is offered.
  std::string challenge_url;
  std::string token;
  bool started = false;  // the server has been told already
  absl::Status error;    // of an invalid one
  absl::Duration retry_after;
};

struct RenewalWindow {
  absl::Time start;
  absl::Time end;
};

// Thread-safe; methods block on the network. The account is made, or found by its key, at the first
// use. Nonces are kept, and a request that is refused for its nonce is sent again with another.
//
// What the server refuses keeps its words and, as reason, its error type, as ACME_BAD_CSR for
// badCSR. ResourceExhausted with RetryInfo for rate limits and Unavailable for the server's own
// failures may pass; InvalidArgument and FailedPrecondition (an authorisation that failed, an
// account that is not admitted) do not.
class Client {
 public:
  struct Options {
    std::shared_ptr<Transport> transport;
    std::string directory_url;
    crypto::PrivateKey key;  // of the account, P-256
    std::string contact;     // "mailto:…"; may be empty
    std::string eab_key_id;  // external account binding; empty for none
    crypto::SecretBytes eab_key;
    absl::Duration timeout = absl::Seconds(30);  // of a request
    const base::Clock* clock = base::Clock::System();
  };

  explicit Client(Options options);
  ~Client();

  absl::StatusOr<Order> NewOrder(const std::vector<Identifier>& identifiers);
  absl::StatusOr<Order> GetOrder(const std::string& url);
  absl::StatusOr<Authorization> GetAuthorization(const std::string& url);
  // Says that the challenge can be validated now.
  absl::Status StartChallenge(const std::string& url);
  absl::StatusOr<Order> Finalize(const Order& order, absl::string_view csr_der);
  // The chain, PEM, the certificate first.
  absl::StatusOr<std::string> Download(const std::string& url);

  // What the server answers to whoever fetches the token's URL (section 8.1).
  absl::StatusOr<std::string> KeyAuthorization(absl::string_view token) const;

  // When the server wants a certificate renewed; nullopt when it does not tell such things.
  // `authority_key_id` and `serial` are the contents of the certificate's fields.
  absl::StatusOr<std::optional<RenewalWindow>> GetRenewalWindow(absl::string_view authority_key_id,
                                                                absl::string_view serial);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::acme

#endif  // COUNTERSIGN_LIBS_ACME_CLIENT_H_
