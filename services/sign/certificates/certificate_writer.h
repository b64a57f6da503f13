// Inserts of certificates, gathered into transactions.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_WRITER_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_WRITER_H_

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "libs/base/mutex.h"
#include "services/sign/certificates/certificate_store.h"

namespace countersign::sign {

class AuthorityNames;

// Thread-safe. Those that are added while others are written wait, and are then written together,
// in one transaction: what one commit costs is shared, and the more callers there are the less it
// is. On PostgreSQL two transactions overlap when there is much to do: one is sent while the other
// is synchronised.
//
// A transaction takes the row of ocsp_head last, and holds it until it has committed, so that
// changes become visible in the order of their numbers.
class CertificateWriter {
 public:
  // All must outlive it.
  CertificateWriter(const CertificateStore::Options& options, AuthorityNames* authorities);
  // Writes what waits.
  ~CertificateWriter();

  // As CertificateStore::Insert.
  void Add(NewCertificate certificate, CertificateStore::InsertDone done);

 private:
  struct Item;
  struct Attempt;
  using ItemPtr = std::unique_ptr<Item>;

  void Work();
  // Writes all of `items`, which it may divide so that one that is refused does not stop the
  // others, and leaves in each what to answer. Raises `*change_number` to the last change's.
  void Write(absl::Span<const ItemPtr> items, int64_t* change_number);
  absl::Status WriteTogether(absl::Span<const ItemPtr> items, int64_t* change_number);
  absl::Status Insert(storage::Transaction& transaction, absl::Span<const ItemPtr> items,
                      Attempt* attempt);
  // The steps of Insert.
  absl::Status InsertRequests(storage::Transaction& transaction, absl::Span<const ItemPtr> items,
                              Attempt* attempt);
  absl::Status MarkReplaced(storage::Transaction& transaction, absl::Span<const ItemPtr> items,
                            Attempt* attempt);
  absl::Status InsertRows(storage::Transaction& transaction, absl::Span<const ItemPtr> items,
                          Attempt* attempt);
  absl::Status InsertRecords(storage::Transaction& transaction, absl::Span<const ItemPtr> items,
                             Attempt* attempt);
  absl::Status ReadKnown(storage::Transaction& transaction, absl::Span<const ItemPtr> items,
                         Attempt* attempt);
  // Whether a transaction whose commit was not answered has happened.
  absl::StatusOr<bool> HasHappened(absl::Span<const ItemPtr> items, const Attempt& attempt);

  const CertificateStore::Options options_;
  AuthorityNames* const authorities_;

  base::Mutex mutex_;
  base::CondVar wake_;
  std::deque<ItemPtr> queue_ ABSL_GUARDED_BY(mutex_);
  int writing_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that write
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_WRITER_H_
