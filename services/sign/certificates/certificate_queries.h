// The inventory's statements, apart so that tests can ask how each database would run them.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_QUERIES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_QUERIES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "libs/storage/database.h"

namespace countersign::sign {

// A statement with the values of its parameters.
struct InventoryStatement {
  std::string sql;
  std::vector<storage::Value> params;
  // Whether the rows are found first, being few, and then put in order; else they are read in
  // order.
  bool sorts = false;
};

// Where a page ended.
struct PageEnd {
  int64_t not_after = 0;  // microseconds
  std::string certificate_id;
};

// What a filter asks for, with the authority's number instead of its name.
struct CertificateSelection {
  std::string tenant;
  const v1::CertificateFilter* filter;
  std::optional<int64_t> authority_id;
};

// The certificates that `what` selects behind `after`, at most `limit`, in order of not_after, then
// certificate_id, with the columns of CertificateSelectList. InvalidArgument for a malformed
// filter.
absl::StatusOr<InventoryStatement> ListQuery(storage::Engine engine,
                                             const CertificateSelection& what,
                                             const std::optional<PageEnd>& after, int64_t limit,
                                             bool with_der);

// Id, owner, environment and labels of those that `what` selects, that have a certification request
// and were in the inventory at `by`; with `due`, of those whose renewal time has come by then.
absl::StatusOr<InventoryStatement> RenewalQuery(storage::Engine engine,
                                                const CertificateSelection& what, absl::Time by,
                                                const absl::Time* due);

// The UPDATE of what `request` changes, at `now`.
absl::StatusOr<InventoryStatement> BulkUpdateQuery(storage::Engine engine,
                                                   const CertificateSelection& what,
                                                   const v1::BulkUpdateCertificatesRequest& request,
                                                   absl::Time now);

// Stands before a ListQuery on PostgreSQL, in its transaction. A page is read by an index, whatever
// the statistics say (they may be of a table that was small), and by a plan that is kept.
absl::string_view ByIndexSettings(bool sorts);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_QUERIES_H_
