#include "services/sign/schema.h"

#include "libs/storage/migrations.h"

namespace countersign::sign {
namespace {

// state: 1 enabled, 2 disabled, 3 destroyed, as in the contract. sealed_key is null once destroyed.
constexpr storage::Migration kMigrations[] = {
    {1, "keys, versions, requests", R"sql(
CREATE TABLE keys (
  tenant TEXT NOT NULL,
  key_id TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  owner TEXT NOT NULL,
  labels TEXT NOT NULL,
  primary_version BIGINT NOT NULL,
  last_version BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  PRIMARY KEY (tenant, key_id)
);
CREATE TABLE key_versions (
  tenant TEXT NOT NULL,
  key_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  state BIGINT NOT NULL CHECK (state IN (1, 2, 3)),
  spki BYTEA NOT NULL,
  sealed_key BYTEA CHECK ((sealed_key IS NULL) = (state = 3)),
  create_time BIGINT NOT NULL,
  destroy_time BIGINT,
  PRIMARY KEY (tenant, key_id, version),
  FOREIGN KEY (tenant, key_id) REFERENCES keys (tenant, key_id)
);
CREATE TABLE requests (
  tenant TEXT NOT NULL,
  request_id TEXT NOT NULL,
  fingerprint BYTEA NOT NULL,
  answer BYTEA NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (tenant, request_id)
);
CREATE INDEX requests_by_time ON requests (create_time);
CREATE TABLE kek_check (
  id BIGINT PRIMARY KEY,
  sealed BYTEA NOT NULL
);
)sql"},
};

}  // namespace

absl::Status MigrateSchema(storage::Database& database) {
  return storage::Migrate(database, kMigrations);
}

}  // namespace countersign::sign
