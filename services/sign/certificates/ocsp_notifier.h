// Tells OCSP responders that the database holds changes, so that they need not find out themselves.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_OCSP_NOTIFIER_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_OCSP_NOTIFIER_H_

#include <cstdint>

#include "absl/time/time.h"

namespace countersign::sign {

// Thread-safe. A responder that is not told, or cannot be reached, finds changes within a second.
class OcspNotifier {
 public:
  virtual ~OcspNotifier() = default;

  // Tells every responder that there are changes up to this number. Never blocks; what is still to
  // be told when a newer number comes is not told by itself.
  virtual void Notify(int64_t change_number) = 0;

  // The same, and waits, at most `timeout`, until every responder that can be reached has them in
  // memory. Returns whether all of them do.
  virtual bool NotifyAndWait(int64_t change_number, absl::Duration timeout) = 0;
};

// For a service without responders.
class NoOcspNotifier : public OcspNotifier {
 public:
  void Notify(int64_t) override {}
  bool NotifyAndWait(int64_t, absl::Duration) override { return true; }
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_OCSP_NOTIFIER_H_
