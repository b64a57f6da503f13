// The seam between the issuance queue and the authorities that it gets certificates from.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_UPSTREAM_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_UPSTREAM_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/certificate_service.pb.h"

namespace countersign::sign {

// Thread-safe. May go while something is under way, `done` included; that is answered all the same.
class Upstream {
 public:
  struct Task {
    // With a request id: the same task, done again after a crash, has the same one, and has to
    // come to the same certificate.
    v1::IssueCertificateRequest request;
    // What an earlier try of this task saved; empty when there is nothing.
    std::string progress;
    // Saves such a thing, durably; blocks. After it failed nothing more may be begun.
    std::function<absl::Status(const std::string&)> save_progress;
  };

  struct Issued {
    // Resource name, when it is in the inventory already; else `der` holds it.
    std::string certificate;
    std::string der;
    // When it should be renewed, as far as the authority told.
    std::optional<absl::Time> renew_time;
  };
  // A failure is tried again unless its code says that it would not help.
  using Done = std::function<void(absl::StatusOr<Issued>)>;

  virtual ~Upstream() = default;

  // "local", "countersign", "acme": for metrics.
  virtual absl::string_view kind() const = 0;

  // Calls `done` once, from any thread, also before it returns. Does not block.
  virtual void Issue(Task task, Done done) = 0;

  // Ends what is under way, and all that comes later, with CANCELLED, soon.
  virtual void Cancel() {}
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_UPSTREAM_H_
