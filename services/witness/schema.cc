#include "services/witness/schema.h"

namespace countersign::witness {

absl::Span<const storage::Migration> Migrations() {
  // witness: the one key whose cosignatures the other table records. `sealed_key` is its private
  // half, sealed under the KEK, where replicas share the database; null where a file holds it.
  // logs: a row a log. `vkeys` are separated by newlines. `root` to `cosign_time` (POSIX seconds)
  // are those of the latest cosigned checkpoint, and null while there is none. `version` counts its
  // updates; each is conditional on the version it was decided by.
  static constexpr storage::Migration kMigrations[] = {
      {1, "witness and logs", R"sql(
        CREATE TABLE witness (
          id BIGINT PRIMARY KEY CHECK (id = 1),
          vkey TEXT NOT NULL
        );
        CREATE TABLE logs (
          origin TEXT PRIMARY KEY,
          origin_hash TEXT NOT NULL UNIQUE,
          vkeys TEXT NOT NULL,
          version BIGINT NOT NULL,
          size BIGINT NOT NULL,
          root BYTEA,
          note BYTEA,
          cosign_time BIGINT
        );
      )sql"},
      {2, "the witness's key", "ALTER TABLE witness ADD COLUMN sealed_key BYTEA;"},
  };
  return kMigrations;
}

}  // namespace countersign::witness
