// Rows of table `certificates`, and what they are outside of the database.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_ROWS_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_ROWS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/storage/value.h"

namespace countersign::sign {

struct NewCertificate;

// The columns, in the order in which rows have them here. `der` is the last but one and may be
// missing from rows that were read; `csr` is never read with the others.
const std::vector<std::string>& CertificateColumns();
// The same as a list for SELECT, without `csr`, and without `der` unless it is wanted.
absl::string_view CertificateSelectList(bool with_der);

// Where some of them are.
inline constexpr size_t kTenantColumn = 0;
inline constexpr size_t kIdColumn = 1;
inline constexpr size_t kAuthorityColumn = 2;
inline constexpr size_t kSerialColumn = 3;
inline constexpr size_t kNotAfterColumn = 9;
inline constexpr size_t kFingerprintColumn = 11;

// The {certificate} of its resource name.
std::string CertificateId(const NewCertificate& certificate);

// A row to insert, ACTIVE, made at `now`.
storage::Row ToRow(const NewCertificate& certificate, absl::Time now);

// The resource; `authority` is the resource name of the row's authority, empty when it has none.
v1::Certificate FromRow(const storage::Row& row, absl::string_view authority);

// The row's host names, each once, in its order.
std::vector<std::string> HostNamesOf(const storage::Row& row);

// Moments as the tables keep them: microseconds since 1970.
google::protobuf::Timestamp ToTimestamp(int64_t micros);
int64_t ToMicros(const google::protobuf::Timestamp& timestamp);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_ROWS_H_
