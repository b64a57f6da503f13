#include "services/sign/certificates/upstreams.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/issuance_store.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr crypto::Algorithm kAccountAlgorithm = crypto::Algorithm::kEcdsaP256Sha256;

constexpr absl::Duration kFresh = absl::Seconds(5);

Value Text(absl::string_view text) { return Value::Text(text); }

v1::Upstream FromRow(const std::string& tenant, const Row& row) {
  v1::Upstream upstream;
  upstream.ParseFromString(row.Bytes(1));
  upstream.set_name(FormatResourceName(tenant, kUpstreams, row.Text(0)));
  upstream.mutable_create_time()->set_seconds(row.Int(2) / 1000000);
  upstream.mutable_create_time()->set_nanos(static_cast<int32_t>(row.Int(2) % 1000000 * 1000));
  return upstream;
}

// The account's key as PKCS#8 behind its length, then the MAC key; sealed for this name alone.
absl::StatusOr<std::string> SealAccount(const crypto::Kek& kek, const std::string& name,
                                        absl::string_view eab_key) {
  ASSIGN_OR_RETURN(const crypto::PrivateKey key, crypto::PrivateKey::Generate(kAccountAlgorithm));
  ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8, key.ToPkcs8());
  std::string account;
  base::AppendU16(&account, static_cast<uint16_t>(pkcs8.size()));
  absl::StrAppend(&account, pkcs8.Expose(crypto::SecretAccess::Grant()), eab_key);
  const crypto::SecretBytes secret{absl::string_view(account)};
  crypto::Wipe(account.data(), account.size());
  return kek.Seal(secret, name);
}

absl::StatusOr<AcmeAccountSecrets> OpenAccount(const crypto::Kek& kek, const std::string& name,
                                               const std::string& sealed) {
  ASSIGN_OR_RETURN(const crypto::SecretBytes secret, kek.Open(sealed, name));
  base::ByteReader reader(secret.Expose(crypto::SecretAccess::Grant()));
  uint16_t size = 0;
  absl::string_view pkcs8;
  if (!reader.ReadU16(&size) || !reader.ReadBytes(size, &pkcs8)) {
    return absl::DataLossError(absl::StrCat("the account of ", name, " is damaged"));
  }
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::FromPkcs8(crypto::SecretBytes(pkcs8), kAccountAlgorithm));
  return AcmeAccountSecrets{std::move(key), crypto::SecretBytes(reader.rest())};
}

absl::Status Check(const v1::Upstream& upstream) {
  switch (upstream.kind_case()) {
    case v1::Upstream::kAcme:
      if (!absl::StartsWith(upstream.acme().directory_url(), "https://")) {
        return FieldError("upstream.acme.directory_url", "expected an https URL");
      }
      if (upstream.acme().eab_key_id().empty() != upstream.acme().eab_hmac_key().empty()) {
        return FieldError("upstream.acme.eab_hmac_key",
                          "an external account binding has a key id"
                          " and a MAC key, or neither");
      }
      if (!upstream.acme().contact().empty() &&
          !absl::StartsWith(upstream.acme().contact(), "mailto:")) {
        return FieldError("upstream.acme.contact", "expected mailto:ADDRESS, or nothing");
      }
      return absl::OkStatus();
    case v1::Upstream::kCountersign:
      if (upstream.countersign().address().empty()) {
        return FieldError("upstream.countersign.address", "required, host:port");
      }
      return ParseAuthorityName("upstream.countersign.authority",
                                upstream.countersign().authority())
          .status();
    case v1::Upstream::KIND_NOT_SET:
      break;
  }
  return FieldError("upstream", "acme or countersign is required");
}

}  // namespace

absl::StatusOr<v1::CreateUpstreamResponse> Upstreams::CreateUpstream(
    const v1::CreateUpstreamRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  if (!ValidKeyId(request.upstream_id())) {
    return FieldError("upstream_id",
                      "expected 1 to 63 characters of a-z 0-9 -, beginning with a letter");
  }
  RETURN_IF_ERROR(Check(request.upstream()));
  v1::Upstream settings = request.upstream();
  settings.clear_name();
  settings.clear_create_time();
  std::string account;
  const std::string name = FormatResourceName(tenant, kUpstreams, request.upstream_id());
  if (settings.has_acme()) {
    std::string eab_key;
    if (!absl::WebSafeBase64Unescape(settings.acme().eab_hmac_key(), &eab_key)) {
      return FieldError("upstream.acme.eab_hmac_key", "expected base64url");
    }
    settings.mutable_acme()->clear_eab_hmac_key();
    ASSIGN_OR_RETURN(account, SealAccount(options_.kek, name, eab_key));
    crypto::Wipe(eab_key.data(), eab_key.size());
  }
  const int64_t now = absl::ToUnixMicros(options_.clock->Now());
  const absl::Status inserted =
      options_.database
          ->Run(
              "INSERT INTO upstreams (tenant, upstream_id, settings, account, create_time)"
              " VALUES ($1, $2, $3, $4, $5)",
              {Text(tenant), Text(request.upstream_id()),
               Value::Bytes(settings.SerializeAsString()), Value::Bytes(account), now})
          .status();
  if (absl::IsAlreadyExists(inserted)) {
    return ExistsError("UPSTREAM_EXISTS", absl::StrCat(name, " exists"));
  }
  RETURN_IF_ERROR(inserted);
  v1::CreateUpstreamResponse response;
  *response.mutable_upstream() = FromRow(
      tenant, Row({Text(request.upstream_id()), Value::Bytes(settings.SerializeAsString()), now}));
  return response;
}

absl::StatusOr<v1::ListUpstreamsResponse> Upstreams::ListUpstreams(
    const v1::ListUpstreamsRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size()));
  const std::string scope = absl::StrCat(request.parent(), " upstreams");
  ASSIGN_OR_RETURN(const std::string last, ParsePageToken(scope, request.page_token()));
  ASSIGN_OR_RETURN(const Rows rows, options_.database->Query(
                                        "SELECT upstream_id, settings, create_time FROM upstreams"
                                        " WHERE tenant = $1 AND upstream_id > $2"
                                        " ORDER BY upstream_id LIMIT $3",
                                        {Text(tenant), Text(last), size + 1}));
  v1::ListUpstreamsResponse response;
  for (int64_t i = 0; i < static_cast<int64_t>(rows.size()) && i < size; ++i) {
    *response.add_upstreams() = FromRow(tenant, rows[i]);
  }
  if (static_cast<int64_t>(rows.size()) > size) {
    response.set_next_page_token(MakePageToken(scope, rows[size - 1].Text(0)));
  }
  return response;
}

absl::StatusOr<v1::DeleteUpstreamResponse> Upstreams::DeleteUpstream(
    const v1::DeleteUpstreamRequest& request) {
  ASSIGN_OR_RETURN(const ResourceId name, ParseResourceName("name", request.name(), kUpstreams));
  const std::vector<Value> id = {Text(name.tenant), Text(name.id)};
  RETURN_IF_ERROR(options_.database->InTransaction([&](Transaction& transaction) -> absl::Status {
    // Nobody queues meanwhile.
    if (options_.database->engine() == storage::Engine::kPostgres) {
      RETURN_IF_ERROR(
          transaction.Query("SELECT id FROM issuance_queue WHERE id = 1 FOR UPDATE").status());
    }
    ASSIGN_OR_RETURN(
        const Rows queued,
        transaction.Query("SELECT 1 WHERE EXISTS (SELECT 1 FROM issuances WHERE tenant = $1"
                          " AND upstream = $2 AND state IN (1, 2, 3)) OR EXISTS (SELECT 1 FROM"
                          " renewals WHERE end_time IS NULL AND tenant = $1 AND upstream = $2)",
                          id));
    if (!queued.empty()) {
      return PreconditionError("UPSTREAM_IN_USE", absl::StrCat("requests for ", request.name(),
                                                               " are queued; cancel them or wait"));
    }
    ASSIGN_OR_RETURN(
        const int64_t deleted,
        transaction.Run("DELETE FROM upstreams WHERE tenant = $1 AND upstream_id = $2", id));
    if (deleted == 1) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("no such upstream: ", request.name()));
  }));
  base::MutexLock lock(&mutex_);
  made_.erase(name);
  return v1::DeleteUpstreamResponse();
}

absl::StatusOr<std::shared_ptr<Upstream>> Upstreams::Find(const ResourceId& name) {
  if (name.id.empty()) return options_.local;
  const absl::Time now = options_.clock->Now();
  {
    base::MutexLock lock(&mutex_);
    const auto made = made_.find(name);
    if (made != made_.end() && made->second.seen > now - kFresh) return made->second.upstream;
  }
  ASSIGN_OR_RETURN(const Rows rows, options_.database->Query(
                                        "SELECT upstream_id, settings, create_time, account"
                                        " FROM upstreams WHERE tenant = $1 AND upstream_id = $2",
                                        {Text(name.tenant), Text(name.id)}));
  const std::string resource = FormatResourceName(name.tenant, kUpstreams, name.id);
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("no such upstream: ", resource));
  const int64_t create_time = rows[0].Int(2);
  {
    base::MutexLock lock(&mutex_);
    const auto made = made_.find(name);
    if (made != made_.end() && made->second.create_time == create_time) {
      made->second.seen = now;
      return made->second.upstream;
    }
  }
  const v1::Upstream settings = FromRow(name.tenant, rows[0]);
  std::shared_ptr<Upstream> upstream;
  if (settings.has_acme()) {
    ASSIGN_OR_RETURN(AcmeAccountSecrets account,
                     OpenAccount(options_.kek, resource, rows[0].Bytes(3)));
    ASSIGN_OR_RETURN(upstream, options_.make_acme(settings.acme(), std::move(account)));
  } else {
    ASSIGN_OR_RETURN(upstream, options_.make_countersign(settings.countersign()));
  }
  base::MutexLock lock(&mutex_);
  made_[name] = {create_time, now, upstream};
  return upstream;
}

}  // namespace countersign::sign
