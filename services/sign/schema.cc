#include "services/sign/schema.h"

#include "libs/storage/migrations.h"

namespace countersign::sign {
namespace {

// state: 1 enabled, 2 disabled, 3 destroyed, as in the contract. sealed_key is null once destroyed.
//
// keys.backend is empty for keys of our own and "yubikey" for those on cards; key_versions.backend
// is then the agent's name of the key, `keys/{fingerprint}`, by which it stays its tenant's when
// the version is destroyed; sealed_key holds that name, sealed, so that it cannot be exchanged for
// another's.
//
// Of certificates: status, profile and revocation_reason are the contract's numbers; serial is the
// big-endian magnitude; host_names are joined by single spaces, lower-case. Moments are
// microseconds since 1970. Only sign writes these tables; ocsp reads authorities, ocsp_signers,
// ocsp_records and ocsp_head (FORMAT.md).
//
// Pages of the inventory come in the order of not_after and certificate_id, which is why most of
// its indexes end so. The status of one that is not revoked has an index of its own, and the
// revoked ones another, so that the many do not hide the few.
//
// Of issuances: state is the contract's number; due_time is when it may be tried, and while it runs
// the end of its claim's lease. request is empty for one of a renewal: it is made from the
// certificate that it replaces. The row of issuance_queue is what those lock who count what waits.
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
    {2, "authorities, certificates, OCSP, CRLs", R"sql(
CREATE TABLE authorities (
  authority_id BIGINT PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  key_version TEXT NOT NULL,
  issuer TEXT NOT NULL,
  certificate BYTEA NOT NULL,
  issuers BYTEA NOT NULL,
  cross_certificates BYTEA NOT NULL,
  settings BYTEA NOT NULL,
  disabled BIGINT NOT NULL,
  crl_number BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  UNIQUE (tenant, name)
);
CREATE TABLE ocsp_signers (
  signer_id BIGINT PRIMARY KEY,
  authority_id BIGINT NOT NULL REFERENCES authorities (authority_id),
  algorithm TEXT NOT NULL,
  certificate BYTEA NOT NULL,
  sealed_key BYTEA NOT NULL,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL
);
CREATE INDEX ocsp_signers_by_authority ON ocsp_signers (authority_id, not_after);
CREATE TABLE certificates (
  tenant TEXT NOT NULL,
  certificate_id TEXT NOT NULL,
  authority_id BIGINT,
  serial BYTEA NOT NULL,
  profile BIGINT NOT NULL,
  status BIGINT NOT NULL,
  subject TEXT NOT NULL,
  issuer TEXT NOT NULL,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  renew_time BIGINT,
  fingerprint_sha256 BYTEA NOT NULL,
  key_sha256 BYTEA NOT NULL,
  host_names TEXT NOT NULL,
  owner_team TEXT NOT NULL,
  environment TEXT NOT NULL,
  labels TEXT NOT NULL,
  crl_shard BIGINT,
  revocation_time BIGINT,
  revocation_reason BIGINT,
  replaces TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  der BYTEA NOT NULL,
  csr BYTEA,
  PRIMARY KEY (tenant, certificate_id)
);
CREATE INDEX certificates_by_expiry ON certificates (tenant, not_after, certificate_id);
CREATE INDEX certificates_by_status ON certificates (tenant, status, not_after, certificate_id) WHERE status <> 2;
CREATE INDEX certificates_revoked_by_expiry ON certificates (tenant, not_after, certificate_id) WHERE status = 2;
CREATE INDEX certificates_by_fingerprint ON certificates (fingerprint_sha256);
CREATE INDEX certificates_by_key ON certificates (key_sha256);
CREATE INDEX certificates_by_owner ON certificates (tenant, owner_team, not_after, certificate_id, environment);
CREATE INDEX certificates_by_environment ON certificates (tenant, environment, not_after, certificate_id);
CREATE INDEX certificates_by_authority ON certificates (authority_id, not_after, certificate_id);
CREATE INDEX certificates_of_others_by_serial ON certificates (tenant, serial) WHERE authority_id IS NULL;
CREATE INDEX certificates_revoked_by_shard ON certificates (authority_id, crl_shard) WHERE revocation_time IS NOT NULL;
CREATE TABLE ocsp_head (
  id BIGINT PRIMARY KEY CHECK (id = 1),
  change_number BIGINT NOT NULL
);
INSERT INTO ocsp_head VALUES (1, 0);
CREATE TABLE ocsp_records (
  authority_id BIGINT NOT NULL,
  serial BYTEA NOT NULL,
  change_number BIGINT NOT NULL,
  record BYTEA NOT NULL,
  PRIMARY KEY (authority_id, serial)
);
CREATE INDEX ocsp_records_by_change ON ocsp_records (change_number);
CREATE TABLE crls (
  authority_id BIGINT NOT NULL,
  shard BIGINT NOT NULL,
  number BIGINT NOT NULL,
  entries BIGINT NOT NULL,
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  der BYTEA NOT NULL,
  PRIMARY KEY (authority_id, shard)
);
)sql",
     R"sql(
CREATE TABLE certificate_host_names (
  tenant TEXT NOT NULL,
  host_name TEXT NOT NULL,
  certificate_id TEXT NOT NULL,
  PRIMARY KEY (tenant, host_name, certificate_id)
) WITHOUT ROWID;
)sql",
     R"sql(
CREATE INDEX certificates_by_host_name ON certificates USING GIN (string_to_array(host_names, ' '));
ALTER TABLE certificates SET (toast_tuple_target = 8160);
)sql"},
    {3, "issuance queue, renewals, upstream authorities", R"sql(
CREATE TABLE issuances (
  tenant TEXT NOT NULL,
  issuance_id TEXT NOT NULL,
  state BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  max_tries BIGINT NOT NULL,
  due_time BIGINT NOT NULL,
  claim TEXT NOT NULL,
  upstream TEXT NOT NULL,
  renewal TEXT NOT NULL,
  replaces TEXT NOT NULL,
  owner_team TEXT NOT NULL,
  environment TEXT NOT NULL,
  labels TEXT NOT NULL,
  request BYTEA NOT NULL,
  progress BYTEA NOT NULL,
  certificate TEXT NOT NULL,
  error BYTEA NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  PRIMARY KEY (tenant, issuance_id)
);
CREATE INDEX issuances_waiting ON issuances (renewal, tenant, due_time) WHERE state IN (1, 3);
CREATE INDEX issuances_running ON issuances (due_time) WHERE state = 2;
CREATE INDEX issuances_by_renewal ON issuances (tenant, renewal, state, create_time, issuance_id);
CREATE INDEX issuances_by_time ON issuances (tenant, create_time, issuance_id);
CREATE TABLE issuance_queue (
  id BIGINT PRIMARY KEY CHECK (id = 1)
);
INSERT INTO issuance_queue VALUES (1);
CREATE TABLE renewals (
  tenant TEXT NOT NULL,
  renewal_id TEXT NOT NULL,
  request BYTEA NOT NULL,
  upstream TEXT NOT NULL,
  concurrency BIGINT NOT NULL,
  started BIGINT NOT NULL,
  total BIGINT NOT NULL,
  succeeded BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  claim TEXT NOT NULL,
  lease_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  end_time BIGINT,
  PRIMARY KEY (tenant, renewal_id)
);
CREATE INDEX renewals_active ON renewals (create_time) WHERE end_time IS NULL;
CREATE TABLE upstreams (
  tenant TEXT NOT NULL,
  upstream_id TEXT NOT NULL,
  settings BYTEA NOT NULL,
  account BYTEA NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (tenant, upstream_id)
);
CREATE TABLE acme_challenges (
  token TEXT PRIMARY KEY,
  key_authorization TEXT NOT NULL,
  expire_time BIGINT NOT NULL
);
CREATE INDEX acme_challenges_by_time ON acme_challenges (expire_time);
)sql"},
    {4, "keys on cards", R"sql(
ALTER TABLE keys ADD COLUMN backend TEXT NOT NULL DEFAULT '';
ALTER TABLE key_versions ADD COLUMN backend TEXT NOT NULL DEFAULT '';
CREATE INDEX key_versions_by_backend ON key_versions (backend) WHERE backend <> '';
)sql"},
};

}  // namespace

absl::Status MigrateSchema(storage::Database& database) {
  return storage::Migrate(database, kMigrations);
}

}  // namespace countersign::sign
