#include "services/sign/certificates/certificate_store.h"

#include <algorithm>
#include <array>
#include <future>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/authority_names.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/certificate_queries.h"
#include "services/sign/certificates/certificate_rows.h"
#include "services/sign/certificates/certificate_writer.h"
#include "services/sign/certificates/ownership.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/certificates/status_changes.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"
#include "services/sign/requests.h"

namespace countersign::sign {

using storage::Engine;
using storage::OnConflict;
using storage::Row;
using storage::Rows;
using storage::Statement;
using storage::Transaction;
using storage::Value;

namespace {

std::string SelectWhere(absl::string_view condition) {
  return absl::StrCat("SELECT ", CertificateSelectList(/*with_der=*/true),
                      " FROM certificates WHERE ", condition);
}

// What has to stay the same from page to page.
std::string ScopeOf(const v1::ListCertificatesRequest& request) {
  return absl::StrCat("certificates ", request.parent(), "\n",
                      request.filter().SerializeAsString());
}

absl::StatusOr<std::optional<PageEnd>> ParsePageEnd(const std::string& scope,
                                                    const std::string& page_token) {
  ASSIGN_OR_RETURN(const std::string token, ParsePageToken(scope, page_token));
  if (token.empty()) return std::nullopt;
  const std::vector<std::string> parts = absl::StrSplit(token, absl::MaxSplits(' ', 1));
  PageEnd end;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &end.not_after)) {
    return FieldError("page_token", "not a token that this list answered; start without one");
  }
  end.certificate_id = parts[1];
  return end;
}

bool IsEmpty(const v1::CertificateFilter& filter) { return filter.ByteSizeLong() == 0; }

absl::Status CheckBulkUpdate(const v1::BulkUpdateCertificatesRequest& request) {
  if (IsEmpty(request.filter())) {
    return FieldError("filter",
                      "required: an update of everything is not taken for one of nothing");
  }
  RETURN_IF_ERROR(CheckOwnership(request.owner_team(), request.environment()));
  switch (request.status()) {
    case v1::CERTIFICATE_STATUS_UNSPECIFIED:
      if (request.has_owner_team() || request.has_environment()) return absl::OkStatus();
      return absl::InvalidArgumentError(
          "nothing to change: give owner_team, environment or status");
    case v1::CERTIFICATE_STATUS_ACTIVE:
    case v1::CERTIFICATE_STATUS_REPLACED:
    case v1::CERTIFICATE_STATUS_RETIRED:
      return absl::OkStatus();
    default:
      return FieldError("status", "expected ACTIVE, REPLACED or RETIRED; revocation has a method");
  }
}

}  // namespace

struct CertificateStore::Impl {
  explicit Impl(Options the_options)
      : options(std::move(the_options)),
        database(*options.database),
        writer(options, &authorities) {}

  absl::StatusOr<v1::Certificate> ToResource(Transaction& transaction, const Row& row) {
    std::string authority;
    if (!row.IsNull(kAuthorityColumn)) {
      ASSIGN_OR_RETURN(authority, authorities.NameOf(transaction, row.Int(kAuthorityColumn)));
    }
    return FromRow(row, authority);
  }

  // Observes how long `function` takes.
  template <typename Function>
  auto Observed(CertificateQuery query, Function function) {
    const Stopwatch stopwatch;
    auto result = function();
    if (options.metrics != nullptr) options.metrics->Observe(query, stopwatch.Elapsed());
    return result;
  }
  // Runs `statements` in a snapshot.
  absl::Status Read(CertificateQuery query, const storage::Database::Body& statements,
                    storage::Freshness freshness = storage::Freshness::kLatest) {
    return Observed(query, [&] { return database.InSnapshot(statements, freshness); });
  }
  // The same in a transaction.
  absl::Status Write(CertificateQuery query, const storage::Database::Body& statements) {
    return Observed(query, [&] {
      return database.InTransaction(statements, storage::Isolation::kReadCommitted);
    });
  }

  // The selection that `filter` means; its authority is looked up.
  absl::StatusOr<CertificateSelection> Select(Transaction& transaction, const std::string& tenant,
                                              const v1::CertificateFilter& filter) {
    CertificateSelection selection{tenant, &filter, std::nullopt};
    if (filter.authority().empty()) return selection;
    ASSIGN_OR_RETURN(const AuthorityName name,
                     ParseAuthorityName("filter.authority", filter.authority()));
    if (name.tenant != tenant) {
      return FieldError("filter.authority", "is another tenant's");
    }
    ASSIGN_OR_RETURN(selection.authority_id, AuthorityIdOf(transaction, name));
    return selection;
  }

  const Options options;
  storage::Database& database;
  AuthorityNames authorities;
  CertificateWriter writer;
};

CertificateStore::CertificateStore(Options options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

CertificateStore::~CertificateStore() = default;

void CertificateStore::Insert(NewCertificate certificate, InsertDone done) {
  impl_->writer.Add(std::move(certificate), std::move(done));
}

absl::StatusOr<v1::Certificate> CertificateStore::InsertAndWait(NewCertificate certificate) {
  std::promise<absl::StatusOr<v1::Certificate>> promise;
  Insert(std::move(certificate), [&promise](absl::StatusOr<v1::Certificate> result) {
    promise.set_value(std::move(result));
  });
  return promise.get_future().get();
}

absl::StatusOr<v1::Certificate> CertificateStore::Get(const std::string& name) {
  ASSIGN_OR_RETURN(const CertificateName parsed, ParseCertificateName("name", name));
  v1::Certificate certificate;
  const auto read = [&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const Rows rows,
                     transaction.Query(SelectWhere("tenant = $1 AND certificate_id = $2"),
                                       {Value::Text(parsed.tenant), Value::Text(parsed.id)}));
    if (rows.empty()) return absl::NotFoundError(absl::StrCat("no such certificate: ", name));
    ASSIGN_OR_RETURN(certificate, impl_->ToResource(transaction, rows[0]));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(impl_->Read(CertificateQuery::kLookup, read));
  return certificate;
}

absl::StatusOr<std::string> CertificateStore::GetCsr(const std::string& name) {
  ASSIGN_OR_RETURN(const CertificateName parsed, ParseCertificateName("name", name));
  ASSIGN_OR_RETURN(Rows rows,
                   impl_->database.Query("SELECT csr FROM certificates"
                                         " WHERE tenant = $1 AND certificate_id = $2",
                                         {Value::Text(parsed.tenant), Value::Text(parsed.id)}));
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("no such certificate: ", name));
  return std::move(rows[0][0]).AsString();
}

absl::StatusOr<v1::ListCertificatesResponse> CertificateStore::List(
    const v1::ListCertificatesRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size()));
  const std::string scope = ScopeOf(request);
  ASSIGN_OR_RETURN(const std::optional<PageEnd> after, ParsePageEnd(scope, request.page_token()));
  v1::ListCertificatesResponse response;
  const auto read = [&](Transaction& transaction) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const CertificateSelection selection,
                     impl_->Select(transaction, tenant, request.filter()));
    const Engine engine = impl_->database.engine();
    ASSIGN_OR_RETURN(const InventoryStatement query,
                     ListQuery(engine, selection, after, size + 1, request.include_der()));
    std::vector<Statement> statements;
    if (engine == Engine::kPostgres) statements.push_back({ByIndexSettings(query.sorts), {}});
    statements.push_back({query.sql, query.params});
    ASSIGN_OR_RETURN(const std::vector<Rows> results, transaction.Pipeline(statements));
    const Rows& rows = results.back();
    const size_t shown = std::min(rows.size(), static_cast<size_t>(size));
    response.mutable_certificates()->Reserve(static_cast<int>(shown));
    for (size_t i = 0; i < shown; ++i) {
      ASSIGN_OR_RETURN(*response.add_certificates(), impl_->ToResource(transaction, rows[i]));
    }
    if (rows.size() > shown) {
      const Row& last = rows[shown - 1];
      response.set_next_page_token(
          MakePageToken(scope, absl::StrCat(last.Int(kNotAfterColumn), " ", last.Text(kIdColumn))));
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(impl_->Read(CertificateQuery::kList, read, storage::Freshness::kReplica));
  return response;
}

absl::StatusOr<v1::BulkUpdateCertificatesResponse> CertificateStore::BulkUpdate(
    const v1::BulkUpdateCertificatesRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  RETURN_IF_ERROR(CheckBulkUpdate(request));
  v1::BulkUpdateCertificatesResponse response;
  const absl::Time now = impl_->options.clock->Now();
  RETURN_IF_ERROR(
      impl_->Write(CertificateQuery::kBulkUpdate, [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const CertificateSelection selection,
                         impl_->Select(transaction, tenant, request.filter()));
        ASSIGN_OR_RETURN(const InventoryStatement query,
                         BulkUpdateQuery(impl_->database.engine(), selection, request, now));
        ASSIGN_OR_RETURN(const int64_t updated, transaction.Run(query.sql, query.params));
        response.set_updated(updated);
        return absl::OkStatus();
      }));
  return response;
}

absl::StatusOr<std::vector<v1::Certificate>> CertificateStore::Import(
    absl::Span<const NewCertificate> certificates) {
  std::vector<Row> rows;
  rows.reserve(certificates.size());
  for (const NewCertificate& certificate : certificates) {
    rows.push_back(ToRow(certificate, impl_->options.clock->Now()));
  }
  static const auto& find =
      *new std::string(SelectWhere("fingerprint_sha256 = $2 AND tenant || '' = $1"));
  std::vector<std::array<Value, 2>> params;
  params.reserve(rows.size());
  std::vector<Statement> look_ups;
  for (const Row& row : rows) {
    params.push_back({row[kTenantColumn], row[kFingerprintColumn]});
    look_ups.push_back({find, params.back()});
  }
  std::vector<v1::Certificate> answers;
  RETURN_IF_ERROR(
      impl_->Write(CertificateQuery::kInsert, [&](Transaction& transaction) -> absl::Status {
        answers.clear();
        ASSIGN_OR_RETURN(std::vector<Rows> found, transaction.Pipeline(look_ups));
        std::vector<Row> fresh;
        std::vector<Row> hosts;
        for (size_t i = 0; i < rows.size(); ++i) {
          if (!found[i].empty()) continue;
          fresh.push_back(rows[i]);
          if (impl_->database.engine() != Engine::kSqlite) continue;
          for (const std::string& host : HostNamesOf(rows[i])) {
            hosts.emplace_back(
                std::vector<Value>{rows[i][kTenantColumn], Value::Text(host), rows[i][kIdColumn]});
          }
        }
        RETURN_IF_ERROR(
            transaction.BulkInsert("certificates", CertificateColumns(), fresh, OnConflict::kSkip)
                .status());
        RETURN_IF_ERROR(transaction
                            .BulkInsert("certificate_host_names",
                                        {"tenant", "host_name", "certificate_id"}, hosts,
                                        OnConflict::kSkip)
                            .status());
        if (!fresh.empty()) {
          ASSIGN_OR_RETURN(found, transaction.Pipeline(look_ups));
        }
        for (const Rows& one : found) {
          if (one.empty())
            return absl::AbortedError("an imported certificate went away: try again");
          ASSIGN_OR_RETURN(answers.emplace_back(), impl_->ToResource(transaction, one[0]));
        }
        return absl::OkStatus();
      }));
  return answers;
}

absl::StatusOr<std::optional<v1::Certificate>> CertificateStore::Recall(
    const std::string& tenant, const std::string& request_id,
    const std::string& request_fingerprint) {
  std::optional<v1::Certificate> answer;
  const auto read = [&](Transaction& transaction) -> absl::Status {
    answer.reset();
    ASSIGN_OR_RETURN(const std::optional<std::string> id,
                     FindAnswer(transaction, tenant, absl::AsciiStrToLower(request_id),
                                request_fingerprint, impl_->options.clock->Now()));
    if (!id.has_value()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Rows rows,
                     transaction.Query(SelectWhere("tenant = $1 AND certificate_id = $2"),
                                       {Value::Text(tenant), Value::Text(*id)}));
    if (rows.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(answer, impl_->ToResource(transaction, rows[0]));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(impl_->Read(CertificateQuery::kLookup, read));
  return answer;
}

absl::StatusOr<int64_t> CertificateStore::ChangeStatus(
    absl::Span<const StatusChange> changes, absl::Span<const v1::CertificateStatus> expected) {
  ASSIGN_OR_RETURN(
      const int64_t change_number, impl_->Observed(CertificateQuery::kChangeStatus, [&] {
        return ApplyStatusChanges(impl_->database, changes, expected, impl_->options.clock->Now());
      }));
  if (impl_->options.on_change != nullptr) impl_->options.on_change(change_number);
  return change_number;
}

absl::StatusOr<std::vector<pki::RevokedEntry>> CertificateStore::Revoked(
    int64_t authority_id, int64_t shard, absl::Time expired_before) {
  return impl_->Observed(CertificateQuery::kRevoked, [&] {
    return ReadRevoked(impl_->database, authority_id, shard, expired_before);
  });
}

}  // namespace countersign::sign
