// Authorities at rest: their rows, and what is kept of them in memory.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "services/sign/algorithms.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/certificates/authority_settings.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/certificate_rows.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Statement;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr absl::string_view kColumns =
    "authority_id, tenant, name, key_version, issuer, certificate, issuers, cross_certificates,"
    " settings, disabled, crl_number, create_time, update_time";
// How long what was read is used without asking whether it has changed.
constexpr absl::Duration kFresh = absl::Seconds(5);

absl::StatusOr<AuthorityRow> FromRow(const Row& row) {
  AuthorityRow authority;
  authority.id = row.Int(0);
  authority.tenant = row.Text(1);
  authority.name = row.Text(2);
  authority.key_version = row.Text(3);
  authority.issuer = row.Text(4);
  authority.certificate = row.Bytes(5);
  ASSIGN_OR_RETURN(authority.issuers, SplitDer(row.Bytes(6)));
  ASSIGN_OR_RETURN(authority.cross_certificates, SplitDer(row.Bytes(7)));
  if (!authority.settings.ParseFromString(row.Bytes(8))) {
    return absl::DataLossError(absl::StrCat("the settings of ", authority.name, " are damaged"));
  }
  authority.disabled = row.Int(9) != 0;
  authority.crl_number = row.Int(10);
  authority.create_time = row.Int(11);
  authority.update_time = row.Int(12);
  return authority;
}

absl::Status NoSuchAuthority(absl::string_view what) {
  return absl::NotFoundError(absl::StrCat("no such authority: ", what));
}

absl::StatusOr<v1::Authority> Resource(const AuthorityRow& row, const std::string& algorithm,
                                       const std::string& signer) {
  ASSIGN_OR_RETURN(const pki::Certificate certificate, pki::ParseCertificate(row.certificate));
  v1::Authority authority;
  authority.set_name(row.name);
  authority.set_subject(pki::FormatName(certificate.subject));
  authority.set_key_version(row.key_version);
  ASSIGN_OR_RETURN(const crypto::Algorithm parsed, crypto::ParseAlgorithm(algorithm));
  authority.set_algorithm(ToProto(parsed));
  authority.set_issuer(row.issuer);
  *authority.mutable_not_before() = ToTimestamp(absl::ToUnixMicros(certificate.not_before));
  *authority.mutable_not_after() = ToTimestamp(absl::ToUnixMicros(certificate.not_after));
  authority.set_path_length(-1);
  if (const auto& constraints = certificate.extensions.basic_constraints;
      constraints.has_value() && constraints->path_length.has_value()) {
    authority.set_path_length(static_cast<int32_t>(
        std::min<int64_t>(*constraints->path_length, std::numeric_limits<int32_t>::max())));
  }
  *authority.mutable_settings() = row.settings;
  authority.add_chain(row.certificate);
  for (const std::string& issuer : row.issuers) authority.add_chain(issuer);
  for (const std::string& cross : row.cross_certificates) authority.add_cross_certificates(cross);
  authority.set_serial_number(SerialHex(certificate.serial));
  authority.set_fingerprint_sha256(base::HexEncode(certificate.Fingerprint()));
  authority.set_ocsp_signer(signer);
  *authority.mutable_create_time() = ToTimestamp(row.create_time);
  *authority.mutable_update_time() = ToTimestamp(row.update_time);
  authority.set_disabled(row.disabled);
  return authority;
}

}  // namespace

Authorities::Impl::Impl(Options o)
    : options(std::move(o)),
      weak_keys(options.weak_keys != nullptr ? *options.weak_keys : default_weak_keys) {}

Authorities::Authorities(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Authorities::~Authorities() = default;

absl::StatusOr<AuthorityRow> Authorities::Impl::Read(Transaction& transaction,
                                                     const std::string& name) {
  ASSIGN_OR_RETURN(const AuthorityName parsed, ParseAuthorityName("name", name));
  ASSIGN_OR_RETURN(
      const Rows rows,
      transaction.Query(
          absl::StrCat("SELECT ", kColumns, " FROM authorities WHERE tenant = $1 AND name = $2"),
          {Value::Text(parsed.tenant), Value::Text(name)}));
  if (rows.empty()) return NoSuchAuthority(name);
  return FromRow(rows[0]);
}

absl::StatusOr<std::vector<v1::Authority>> Authorities::Impl::Describe(
    Transaction& transaction, absl::Span<const AuthorityRow> rows) {
  std::vector<std::vector<Value>> params;
  params.reserve(2 * rows.size());
  std::vector<Statement> statements;
  for (const AuthorityRow& row : rows) {
    ASSIGN_OR_RETURN(const KeyName key,
                     ParseKeyName("key_version", row.key_version, Want::kVersion));
    params.push_back({Value::Text(key.tenant), Value::Text(key.key)});
    statements.push_back(
        {"SELECT algorithm FROM keys WHERE tenant = $1 AND key_id = $2", params.back()});
    params.push_back({row.id});
    statements.push_back(
        {"SELECT certificate FROM ocsp_signers WHERE authority_id = $1"
         " ORDER BY signer_id DESC LIMIT 1",
         params.back()});
  }
  ASSIGN_OR_RETURN(const std::vector<Rows> found, transaction.Pipeline(statements));
  std::vector<v1::Authority> authorities;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Rows& key = found[2 * i];
    const Rows& signer = found[2 * i + 1];
    if (key.empty() || signer.empty()) {
      return absl::DataLossError(
          absl::StrCat("the key or the signer of ", rows[i].name, " is gone"));
    }
    ASSIGN_OR_RETURN(v1::Authority authority,
                     Resource(rows[i], key[0].Text(0), signer[0].Bytes(0)));
    authorities.push_back(std::move(authority));
  }
  return authorities;
}

absl::StatusOr<v1::Authority> Authorities::Impl::Describe(Transaction& transaction,
                                                          const AuthorityRow& row) {
  ASSIGN_OR_RETURN(std::vector<v1::Authority> one,
                   Describe(transaction, absl::MakeConstSpan(&row, 1)));
  return std::move(one.front());
}

absl::StatusOr<int64_t> Authorities::Impl::Insert(Transaction& transaction,
                                                  const AuthorityRow& row) {
  ASSIGN_OR_RETURN(const pki::Certificate certificate, pki::ParseCertificate(row.certificate));
  ASSIGN_OR_RETURN(
      const Rows others,
      transaction.Query("SELECT authority_id, tenant, name, certificate FROM authorities"));
  int64_t id = 0;
  for (const Row& other : others) {
    id = std::max(id, other.Int(0));
    if (other.Text(1) == row.tenant && other.Text(2) == row.name) {
      return ExistsError(kAuthorityExists, absl::StrCat(row.name, " exists already"));
    }
    // A CertID names an issuer by its name and key: it has to mean one.
    ASSIGN_OR_RETURN(const pki::Certificate there, pki::ParseCertificate(other.Bytes(3)));
    if (there.subject_der == certificate.subject_der && there.spki_der == certificate.spki_der) {
      return ExistsError(kAuthorityExists, "an authority with this subject and key exists already");
    }
  }
  ++id;
  RETURN_IF_ERROR(
      transaction
          .Run(absl::StrCat("INSERT INTO authorities (", kColumns,
                            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $11)"),
               {id, Value::Text(row.tenant), Value::Text(row.name), Value::Text(row.key_version),
                Value::Text(row.issuer), Value::Bytes(row.certificate),
                Value::Bytes(JoinDer(row.issuers)), Value::Bytes(JoinDer(row.cross_certificates)),
                Value::Bytes(row.settings.SerializeAsString()), row.crl_number, row.create_time})
          .status());
  return id;
}

absl::Status Authorities::Impl::Update(Transaction& transaction, AuthorityRow* row,
                                       absl::Time now) {
  // Strictly later, so that who has seen the row knows that it is another one.
  row->update_time = std::max(absl::ToUnixMicros(now), row->update_time + 1);
  return transaction
      .Run(
          "UPDATE authorities SET settings = $2, cross_certificates = $3, disabled = $4,"
          " update_time = $5 WHERE authority_id = $1",
          {row->id, Value::Bytes(row->settings.SerializeAsString()),
           Value::Bytes(JoinDer(row->cross_certificates)), row->disabled ? 1 : 0, row->update_time})
      .status();
}

absl::Status Authorities::Impl::ChangeTables(
    const std::function<absl::Status(Transaction&, int64_t)>& body) {
  int64_t number = 0;
  const Stopwatch watch;
  // The head's lock makes writers take turns; what each reads after it is the newest.
  RETURN_IF_ERROR(database()->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const Rows head,
                         transaction.Query("UPDATE ocsp_head SET change_number = change_number + 1"
                                           " WHERE id = 1 RETURNING change_number"));
        number = head[0].Int(0);
        return body(transaction, number);
      },
      storage::Isolation::kReadCommitted));
  if (options.metrics != nullptr) {
    options.metrics->Observe(CertificateQuery::kAuthority, watch.Elapsed());
  }
  if (options.on_change != nullptr) options.on_change(number);
  return absl::OkStatus();
}

void Authorities::Impl::Forget(const std::string& name) {
  base::MutexLock lock(&mutex);
  ++changes;
  cache.erase(name);
}

absl::StatusOr<std::unique_ptr<LiveAuthority>> MakeLive(const AuthorityRow& row) {
  auto live = std::make_unique<LiveAuthority>();
  live->id = row.id;
  live->tenant = row.tenant;
  live->name = row.name;
  ASSIGN_OR_RETURN(live->certificate, pki::ParseCertificate(row.certificate));
  live->issuers = row.issuers;
  live->key_version = row.key_version;
  live->settings = row.settings;
  live->disabled = row.disabled;
  return live;
}

std::shared_ptr<const LiveAuthority> Authorities::Find(const std::string& name) {
  const absl::Time now = impl_->Now();
  base::MutexLock lock(&impl_->mutex);
  const auto found = impl_->cache.find(name);
  if (found == impl_->cache.end() || now - found->second.read >= kFresh ||
      found->second.authority->key == nullptr) {
    return nullptr;
  }
  return found->second.authority;
}

absl::StatusOr<std::shared_ptr<const LiveAuthority>> Authorities::LoadByName(
    const std::string& name) {
  if (auto found = Find(name)) return found;
  ASSIGN_OR_RETURN(const AuthorityName parsed, ParseAuthorityName("name", name));
  return impl_->LoadWhere("tenant = $1 AND name = $2",
                          {Value::Text(parsed.tenant), Value::Text(name)}, name);
}

absl::StatusOr<std::shared_ptr<const LiveAuthority>> Authorities::Load(const std::string& name) {
  ASSIGN_OR_RETURN(auto authority, LoadByName(name));
  if (authority->key != nullptr) return authority;
  // Why there is none.
  return impl_->options.key_ring->Load(authority->key_version).status();
}

absl::StatusOr<std::shared_ptr<const LiveAuthority>> Authorities::LoadById(int64_t id) {
  return impl_->LoadWhere("authority_id = $1", {id}, absl::StrCat("number ", id));
}

absl::StatusOr<std::shared_ptr<const LiveAuthority>> Authorities::Impl::LoadWhere(
    absl::string_view where, storage::Params params, absl::string_view what) {
  const absl::Time now = Now();
  uint64_t seen;
  {
    base::MutexLock lock(&mutex);
    seen = changes;
  }
  const Stopwatch watch;
  ASSIGN_OR_RETURN(
      const Rows heads,
      database()->Query(
          absl::StrCat("SELECT name, key_version, update_time FROM authorities WHERE ", where),
          params));
  if (options.metrics != nullptr) {
    options.metrics->Observe(CertificateQuery::kAuthority, watch.Elapsed());
  }
  if (heads.empty()) return NoSuchAuthority(what);
  const std::string& name = heads[0].Text(0);
  // It may be disabled, or enabled again, without a change of the row.
  const auto loaded = options.key_ring->Load(heads[0].Text(1));
  if (!loaded.ok() && !absl::IsFailedPrecondition(loaded.status())) return loaded.status();
  const std::shared_ptr<const LiveKey> key = loaded.ok() ? *loaded : nullptr;
  {
    base::MutexLock lock(&mutex);
    const auto found = cache.find(name);
    if (found != cache.end() && found->second.update_time == heads[0].Int(2) &&
        found->second.authority->key == key) {
      found->second.read = now;
      return found->second.authority;
    }
  }
  AuthorityRow row;
  Rows signers;
  RETURN_IF_ERROR(database()->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(row, Read(transaction, name));
    ASSIGN_OR_RETURN(signers,
                     transaction.Query("SELECT signer_id, algorithm, certificate, sealed_key"
                                       " FROM ocsp_signers WHERE authority_id = $1"
                                       " ORDER BY signer_id DESC LIMIT 1",
                                       {row.id}));
    return absl::OkStatus();
  }));
  if (signers.empty()) {
    return absl::DataLossError(absl::StrCat("the OCSP signer of ", name, " is gone"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<LiveAuthority> live, MakeLive(row));
  live->key = key;
  RETURN_IF_ERROR(OpenSigner(signers[0], live.get()));
  std::shared_ptr<const LiveAuthority> authority = std::move(live);
  base::MutexLock lock(&mutex);
  if (seen == changes) cache[name] = {authority, row.update_time, now};
  return authority;
}

absl::StatusOr<std::vector<int64_t>> Authorities::ListIds() {
  ASSIGN_OR_RETURN(
      const Rows rows,
      impl_->database()->Query("SELECT authority_id FROM authorities ORDER BY authority_id"));
  std::vector<int64_t> ids;
  for (const Row& row : rows) ids.push_back(row.Int(0));
  return ids;
}

absl::StatusOr<v1::GetAuthorityResponse> Authorities::GetAuthority(
    const v1::GetAuthorityRequest& request) {
  v1::GetAuthorityResponse response;
  RETURN_IF_ERROR(impl_->database()->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const AuthorityRow row, impl_->Read(transaction, request.name()));
    ASSIGN_OR_RETURN(*response.mutable_authority(), impl_->Describe(transaction, row));
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListAuthoritiesResponse> Authorities::ListAuthorities(
    const v1::ListAuthoritiesRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size()));
  const std::string scope = absl::StrCat("authorities\n", request.parent());
  ASSIGN_OR_RETURN(const std::string after, ParsePageToken(scope, request.page_token()));
  v1::ListAuthoritiesResponse response;
  RETURN_IF_ERROR(impl_->database()->InSnapshot([&](Transaction& transaction) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const Rows rows,
                     transaction.Query(absl::StrCat("SELECT ", kColumns,
                                                    " FROM authorities WHERE tenant = $1"
                                                    " AND name > $2 ORDER BY name LIMIT $3"),
                                       {Value::Text(tenant), Value::Text(after), size + 1}));
    std::vector<AuthorityRow> page;
    for (size_t i = 0; i < rows.size() && i < static_cast<size_t>(size); ++i) {
      ASSIGN_OR_RETURN(AuthorityRow row, FromRow(rows[i]));
      page.push_back(std::move(row));
    }
    ASSIGN_OR_RETURN(std::vector<v1::Authority> authorities, impl_->Describe(transaction, page));
    for (v1::Authority& authority : authorities) {
      response.add_authorities()->Swap(&authority);
    }
    if (rows.size() > page.size()) {
      response.set_next_page_token(MakePageToken(scope, rows[page.size() - 1].Text(2)));
    }
    return absl::OkStatus();
  }));
  return response;
}

}  // namespace countersign::sign
