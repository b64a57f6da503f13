// The witness's tables.
#ifndef COUNTERSIGN_SERVICES_WITNESS_SCHEMA_H_
#define COUNTERSIGN_SERVICES_WITNESS_SCHEMA_H_

#include "absl/types/span.h"
#include "libs/storage/migrations.h"

namespace countersign::witness {

absl::Span<const storage::Migration> Migrations();

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_SCHEMA_H_
