#include "services/sign/certificates/authority_names.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::sign {

using storage::Rows;
using storage::Transaction;
using storage::Value;

absl::StatusOr<std::string> AuthorityNames::NameOf(Transaction& transaction, int64_t authority_id) {
  {
    base::MutexLock lock(&mutex_);
    const auto found = names_.find(authority_id);
    if (found != names_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(
      const Rows rows,
      transaction.Query("SELECT name FROM authorities WHERE authority_id = $1", {authority_id}));
  if (rows.empty()) {
    return absl::DataLossError(absl::StrCat("no authority has the number ", authority_id));
  }
  base::MutexLock lock(&mutex_);
  return names_.emplace(authority_id, rows[0].Text(0)).first->second;
}

absl::StatusOr<int64_t> AuthorityIdOf(Transaction& transaction, const AuthorityName& name) {
  ASSIGN_OR_RETURN(
      const Rows rows,
      transaction.Query("SELECT authority_id FROM authorities WHERE tenant = $1 AND name = $2",
                        {Value::Text(name.tenant), Value::Text(name.ToString())}));
  if (rows.empty())
    return absl::NotFoundError(absl::StrCat("no such authority: ", name.ToString()));
  return rows[0].Int(0);
}

}  // namespace countersign::sign
