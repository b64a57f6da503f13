// The tables of the key store.
#ifndef COUNTERSIGN_SERVICES_SIGN_SCHEMA_H_
#define COUNTERSIGN_SERVICES_SIGN_SCHEMA_H_

#include "absl/status/status.h"
#include "libs/storage/database.h"

namespace countersign::sign {

// Brings `database` to the newest schema. Errors as of storage::Migrate.
//
// Times are microseconds since 1970. Every table's key begins with the tenant.
absl::Status MigrateSchema(storage::Database& database);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_SCHEMA_H_
