#include "libs/storage/postgres_connection.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/storage/postgres_sql.h"
#include "libs/storage/postgres_url.h"

namespace countersign::storage {
namespace {

// More statements than this means that someone builds SQL from values.
constexpr size_t kMaxPrepared = 256;
constexpr int kBinary = 1;

// Waits until the socket can do one of `events`, or until `deadline`; returns whether it can.
bool AwaitSocket(int socket, short events, absl::Time deadline) {
  while (true) {
    pollfd descriptor{socket, events, 0};
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    const int64_t timeout_ms =
        absl::ToInt64Milliseconds(std::min(left + absl::Microseconds(999), absl::Hours(1)));
    const int ready = poll(&descriptor, 1, static_cast<int>(timeout_ms));
    if (ready > 0) return true;
    if (ready == 0 && absl::Now() >= deadline) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

bool Succeeded(const PGresult* result) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
      return true;
    default:
      return false;
  }
}

int64_t RowsChanged(PGresult* result) {
  const absl::string_view tag = PQcmdStatus(result);
  int64_t changed = 0;
  if (absl::StartsWith(tag, "INSERT") || absl::StartsWith(tag, "UPDATE") ||
      absl::StartsWith(tag, "DELETE") || absl::StartsWith(tag, "MERGE")) {
    (void)absl::SimpleAtoi(PQcmdTuples(result), &changed);
  }
  return changed;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(
    const std::string& url, absl::Duration timeout, absl::Duration lock_timeout) {
  // Those before dbname are defaults, which the URL may override. A peer that is gone without a
  // word is noticed within a minute.
  const std::pair<const char*, const char*> parameters[] = {
      {"fallback_application_name", program_invocation_short_name},
      {"gssencmode", "disable"},
      {"keepalives_idle", "30"},
      {"keepalives_interval", "10"},
      {"keepalives_count", "3"},
      {"tcp_user_timeout", "60000"},
      {"dbname", url.c_str()},
      {"client_encoding", "UTF8"},
  };
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword);
    values.push_back(value);
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* raw = PQconnectStartParams(keywords.data(), values.data(), /*expand_dbname=*/1);
  if (raw == nullptr) return absl::ResourceExhaustedError("database: out of memory");
  std::unique_ptr<PostgresConnection> connection(new PostgresConnection(raw));
  RETURN_IF_ERROR(connection->Connect(absl::Now() + timeout));
  RETURN_IF_ERROR(connection->SetUp(lock_timeout));
  return connection;
}

absl::Status PostgresConnection::Connect(absl::Time deadline) {
  PGconn* const connection = connection_.get();
  // Also gives SQLSTATE, which the messages of a failed connection otherwise lack.
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(
      connection, [](void*, const PGresult*) {}, nullptr);
  if (PQstatus(connection) == CONNECTION_BAD) return ConnectError(connection);
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    const short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (!AwaitSocket(PQsocket(connection), events, deadline)) {
      return absl::UnavailableError(
          absl::StrCat("database: cannot connect: ", PQhost(connection), " does not answer"));
    }
    state = PQconnectPoll(connection);
    if (state == PGRES_POLLING_FAILED) return ConnectError(connection);
  }
  return absl::OkStatus();
}

absl::Status PostgresConnection::SetUp(absl::Duration lock_timeout) {
  // 0 would wait for ever, and more is not understood.
  const int64_t lock_timeout_ms =
      std::clamp<int64_t>(absl::ToInt64Milliseconds(lock_timeout), 1, INT32_MAX);
  // OK has to mean that it is on disk, whatever the server's or the role's default is; the stricter
  // settings of synchronous_commit stay.
  const std::string settings =
      absl::StrCat("SET statement_timeout = 0; SET lock_timeout = ", lock_timeout_ms,
                   "; SET standard_conforming_strings = on; "
                   "SELECT set_config('synchronous_commit', 'on', false) "
                   "WHERE current_setting('synchronous_commit') = 'off'; "
                   "SELECT current_setting('fsync', true)");
  const PostgresResult result(PQexec(connection_.get(), settings.c_str()));
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    return result == nullptr ? Lose() : ReadPostgresError(result.get()).status;
  }
  server_synchronises_ = absl::string_view(PQgetvalue(result.get(), 0, 0)) != "off";
  return absl::OkStatus();
}

bool PostgresConnection::Disturbed() const {
  return AwaitSocket(PQsocket(connection_.get()), POLLIN, absl::InfinitePast());
}

bool PostgresConnection::Answers(absl::Duration timeout) {
  if (lost_ || PQsendQuery(connection_.get(), "") == 0) return false;
  bool answered = false;
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    while (PQisBusy(connection_.get()) != 0) {
      if (!AwaitSocket(PQsocket(connection_.get()), POLLIN, deadline) ||
          PQconsumeInput(connection_.get()) == 0) {
        return false;
      }
    }
    const PostgresResult result(PQgetResult(connection_.get()));
    if (result == nullptr) return answered;
    answered = PQresultStatus(result.get()) == PGRES_EMPTY_QUERY;
    if (!answered) return false;
  }
}

absl::Status PostgresConnection::CheckUsable() const {
  if (failure_.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("database: the transaction has failed already: ", failure_.message()));
}

absl::Status PostgresConnection::Fail(absl::Status status) {
  if (failure_.ok()) failure_ = status;
  return status;
}

absl::Status PostgresConnection::Fail(const PGresult* result) {
  if (result == nullptr) return Lose();
  PostgresError error = ReadPostgresError(result);
  if (failure_.ok()) {
    retry_ = error.retry;
    conflict_ = error.conflict;
  }
  lost_ |= error.fatal;
  return Fail(std::move(error.status));
}

absl::Status PostgresConnection::Lose() {
  lost_ = true;
  if (failure_.ok()) retry_ = true;
  const absl::string_view words = PQerrorMessage(connection_.get());
  return Fail(absl::UnavailableError(
      absl::StrCat("database: the connection is lost: ", words.substr(0, words.find('\n')))));
}

absl::Status PostgresConnection::CheckTransaction() {
  if (!begun_ || PQtransactionStatus(connection_.get()) != PQTRANS_IDLE) return absl::OkStatus();
  begun_ = false;
  return Fail(absl::InternalError("database: a statement ended the transaction"));
}

absl::StatusOr<PostgresConnection::Prepared*> PostgresConnection::Find(absl::string_view sql,
                                                                       Params params) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    ASSIGN_OR_RETURN(const size_t count, CountParameters(sql));
    found = statements_.emplace(std::string(sql), Variants{count, {}}).first;
  }
  Variants& variants = found->second;
  if (params.size() != variants.parameter_count) {
    const size_t count = variants.parameter_count;
    if (variants.prepared.empty()) statements_.erase(found);
    return absl::InvalidArgumentError(absl::StrCat("database: the statement takes ", count,
                                                   " parameters, not ", params.size(),
                                                   " (they are written $1, $2 and so on)"));
  }
  // Null is of any type.
  const auto fits = [params](PreparedList::iterator prepared) {
    for (size_t i = 0; i < params.size(); ++i) {
      if (!params[i].is_null() && ParameterType(params[i]) != prepared->types[i]) return false;
    }
    return true;
  };
  const auto variant = std::find_if(variants.prepared.begin(), variants.prepared.end(), fits);
  if (variant != variants.prepared.end()) {
    prepared_.splice(prepared_.begin(), prepared_, *variant);
    return &prepared_.front();
  }
  Prepared& prepared = prepared_.emplace_front();
  prepared.sql = std::string(sql);
  prepared.name = absl::StrCat("s", ++last_name_);
  for (const Value& value : params) prepared.types.push_back(ParameterType(value));
  variants.prepared.push_back(prepared_.begin());
  return &prepared;
}

void PostgresConnection::Trim() {
  while (prepared_.size() > kMaxPrepared) {
    const PreparedList::iterator last = std::prev(prepared_.end());
    const auto found = statements_.find(last->sql);
    std::vector<PreparedList::iterator>& variants = found->second.prepared;
    variants.erase(std::find(variants.begin(), variants.end(), last));
    if (variants.empty()) statements_.erase(found);
    if (last->on_server) forgotten_.push_back(last->name);
    prepared_.pop_back();
  }
}

bool PostgresConnection::Send(absl::Span<const Statement> statements,
                              absl::Span<Prepared* const> prepared, std::vector<Step>* steps) {
  PGconn* const connection = connection_.get();
  const auto send_plain = [&](StepKind kind, const std::string& sql) {
    steps->push_back({kind});
    return PQsendQueryParams(connection, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                             kBinary) != 0;
  };
  if (PQenterPipelineMode(connection) == 0) return false;
  if (!begin_.empty()) {
    begun_ = true;
    if (!send_plain(StepKind::kBegin, std::exchange(begin_, ""))) return false;
  }
  for (const std::string& name : forgotten_) {
    if (!send_plain(StepKind::kForget, absl::StrCat("DEALLOCATE ", name))) return false;
  }
  for (size_t i = 0; i < statements.size(); ++i) {
    if (!prepared[i]->on_server) {
      prepared[i]->on_server = true;
      steps->push_back({StepKind::kPrepare, prepared[i]});
      if (PQsendPrepare(connection, prepared[i]->name.c_str(), prepared[i]->sql.c_str(),
                        static_cast<int>(prepared[i]->types.size()),
                        prepared[i]->types.data()) == 0) {
        return false;
      }
    }
    parameters_.Encode(statements[i].params);
    steps->push_back({StepKind::kExecute});
    if (PQsendQueryPrepared(connection, prepared[i]->name.c_str(), parameters_.size(),
                            parameters_.values(), parameters_.lengths(), parameters_.formats(),
                            kBinary) == 0) {
      return false;
    }
  }
  return PQpipelineSync(connection) != 0;
}

absl::Status PostgresConnection::Receive(absl::Span<const Step> steps,
                                         std::vector<PostgresResult>* results) {
  PGconn* const connection = connection_.get();
  for (const Step& step : steps) {
    PostgresResult result(PQgetResult(connection));
    const bool ok = result != nullptr && Succeeded(result.get());
    if (!ok) {
      if (step.kind == StepKind::kPrepare) step.prepared->on_server = false;
      if (result == nullptr || PQresultStatus(result.get()) != PGRES_PIPELINE_ABORTED) {
        Fail(result.get()).IgnoreError();
      }
      if (lost_) return failure_;
    } else if (step.kind == StepKind::kForget) {
      forgotten_.erase(forgotten_.begin());
    } else if (step.kind == StepKind::kExecute) {
      results->push_back(std::move(result));
    }
    while (const PostgresResult end{PQgetResult(connection)}) {
    }
  }
  const PostgresResult sync(PQgetResult(connection));
  if (PQresultStatus(sync.get()) != PGRES_PIPELINE_SYNC || PQexitPipelineMode(connection) == 0) {
    return Lose();
  }
  return failure_;
}

absl::StatusOr<std::vector<PostgresResult>> PostgresConnection::RunBatch(
    absl::Span<const Statement> statements) {
  RETURN_IF_ERROR(CheckUsable());
  std::vector<Prepared*> prepared;
  prepared.reserve(statements.size());
  for (const Statement& statement : statements) {
    absl::Status fits = PostgresParameters::Check(statement.params);
    if (!fits.ok()) return Fail(std::move(fits));
    const absl::StatusOr<Prepared*> found = Find(statement.sql, statement.params);
    if (!found.ok()) return Fail(found.status());
    prepared.push_back(*found);
  }
  std::vector<Step> steps;
  std::vector<PostgresResult> results;
  if (!Send(statements, prepared, &steps)) return Lose();
  const absl::Status received = Receive(steps, &results);
  Trim();
  RETURN_IF_ERROR(received);
  RETURN_IF_ERROR(CheckTransaction());
  return results;
}

absl::StatusOr<int64_t> PostgresConnection::Run(absl::string_view sql, Params params) {
  ASSIGN_OR_RETURN(const std::vector<PostgresResult> results, RunBatch({{sql, params}}));
  return RowsChanged(results[0].get());
}

absl::StatusOr<Rows> PostgresConnection::Query(absl::string_view sql, Params params) {
  ASSIGN_OR_RETURN(const std::vector<PostgresResult> results, RunBatch({{sql, params}}));
  absl::StatusOr<Rows> rows = DecodeRows(results[0].get());
  if (!rows.ok()) return Fail(rows.status());
  return rows;
}

absl::StatusOr<std::vector<Rows>> PostgresConnection::Pipeline(
    absl::Span<const Statement> statements) {
  if (statements.empty()) {
    RETURN_IF_ERROR(CheckUsable());
    return std::vector<Rows>();
  }
  ASSIGN_OR_RETURN(const std::vector<PostgresResult> results, RunBatch(statements));
  std::vector<Rows> all;
  all.reserve(results.size());
  for (const PostgresResult& result : results) {
    absl::StatusOr<Rows> rows = DecodeRows(result.get());
    if (!rows.ok()) return Fail(rows.status());
    all.push_back(*std::move(rows));
  }
  return all;
}

absl::StatusOr<PostgresResult> PostgresConnection::Simple(absl::string_view sql) {
  std::string text;
  if (!begin_.empty()) {
    begun_ = true;
    text = absl::StrCat(std::exchange(begin_, ""), ";");
  }
  absl::StrAppend(&text, sql);
  PostgresResult result(PQexec(connection_.get(), text.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COPY_IN && status != PGRES_COPY_OUT && !Succeeded(result.get())) {
    return Fail(result.get());
  }
  RETURN_IF_ERROR(CheckTransaction());
  return result;
}

absl::Status PostgresConnection::RunScript(absl::string_view sql) {
  RETURN_IF_ERROR(CheckUsable());
  ASSIGN_OR_RETURN(const PostgresResult result, Simple(sql));
  if (Succeeded(result.get())) return absl::OkStatus();
  lost_ = true;
  return Fail(absl::InvalidArgumentError("database: a script cannot copy from its caller"));
}

absl::Status PostgresConnection::RunAlone(absl::string_view sql) {
  failure_ = absl::OkStatus();
  begun_ = false;
  return Simple(sql).status();
}

PostgresConnection::Outcome PostgresConnection::RunTransaction(absl::string_view begin,
                                                               bool read_only,
                                                               const Database::Body& body) {
  begin_ = std::string(begin);
  begun_ = false;
  failure_ = absl::OkStatus();
  retry_ = false;
  conflict_ = false;
  absl::Status status = body(*this);
  if (status.ok()) status = failure_;
  begin_.clear();
  Outcome outcome{std::move(status), retry_, conflict_};
  if (begun_ && !lost_) {
    if (outcome.status.ok()) {
      outcome = Commit(read_only);
    } else {
      RunAlone("ROLLBACK").IgnoreError();
    }
  }
  begun_ = false;
  return outcome;
}

PostgresConnection::Outcome PostgresConnection::Commit(bool read_only) {
  const PostgresResult result(PQexec(connection_.get(), "COMMIT"));
  if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) {
    if (absl::string_view(PQcmdStatus(result.get())) == "COMMIT") return {absl::OkStatus()};
    return {absl::InternalError("database: the server rolled the transaction back")};
  }
  absl::Status status = Fail(result.get());
  if (read_only && lost_) return {absl::OkStatus()};
  // An error is an answer: it was rolled back. No answer is none.
  const bool unknown =
      lost_ || (result != nullptr && ReadPostgresError(result.get()).sqlstate == "40003");
  if (!unknown) return {std::move(status), retry_, conflict_};
  lost_ = true;
  return {absl::UnavailableError(absl::StrCat(
      status.message(),
      ", while committing: the transaction may or may not have happened; look before it is "
      "repeated"))};
}

}  // namespace countersign::storage
