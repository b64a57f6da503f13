#include "services/ledger/log_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {
namespace {

constexpr size_t kMaxOriginBytes = 255;  // what a cosignature of the next type can name

// The lines of a policy but those that name logs.
std::string WithoutLogs(const note::Policy& policy) {
  std::string text;
  for (absl::string_view line : absl::StrSplit(policy.Format(), '\n', absl::SkipEmpty())) {
    if (!absl::StartsWith(line, "log ")) absl::StrAppend(&text, line, "\n");
  }
  return text;
}

absl::Status CheckPolicy(const note::Policy& policy) {
  if (!policy.logs().empty()) {
    return absl::InvalidArgumentError(
        "the witness policy of a new log has no log line: its key is still to be made");
  }
  for (const note::PolicyWitness& witness : policy.witnesses()) {
    if (witness.url.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the policy gives no URL for witness ", witness.name));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOrigin(absl::string_view origin) {
  if (origin.size() > kMaxOriginBytes || !note::IsValidKeyName(origin)) {
    return absl::InvalidArgumentError(absl::StrCat("an origin has 1 to ", kMaxOriginBytes,
                                                   " bytes of UTF-8 without spaces and '+'"));
  }
  return absl::OkStatus();
}

}  // namespace

LogRegistry::LogRegistry(const Options& options, std::string default_policy,
                         std::unique_ptr<LogBackend> backend)
    : options_(options), default_policy_(std::move(default_policy)), backend_(std::move(backend)) {}

absl::StatusOr<std::unique_ptr<LogRegistry>> LogRegistry::Open(
    const Options& options, std::unique_ptr<LogBackend> backend) {
  ASSIGN_OR_RETURN(const note::Policy policy, note::Policy::Parse(options.witness_policy));
  std::unique_ptr<LogRegistry> registry(
      new LogRegistry(options, WithoutLogs(policy), std::move(backend)));
  const std::string main_name = options.main_log.ToString();
  {
    base::MutexLock lock(&registry->backend_mutex_);
    RETURN_IF_ERROR(registry->backend_->Create(options.main_log, options.main_origin,
                                               registry->default_policy_));
    RETURN_IF_ERROR(registry->Add(options.main_log));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, registry->backend_->List());
    for (const std::string& text : names) {
      if (text == main_name) continue;
      ASSIGN_OR_RETURN(const LogName name, ParseLogName(text));
      // It has been logged, and whoever asks for that log is told.
      (void)registry->Add(name);
    }
    if (registry->backend_->shared()) {
      registry->follower_ = std::thread([raw = registry.get()] { raw->FollowLoop(); });
    }
  }
  ASSIGN_OR_RETURN(registry->main_log_, registry->Find(main_name));
  if (registry->main_log_->identity.origin != options.main_origin) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the log ", main_name, " has the origin ", registry->main_log_->identity.origin, ", not ",
        options.main_origin, ": a log keeps its origin for ever, give it as it was"));
  }
  return registry;
}

LogRegistry::~LogRegistry() { Stop(); }

void LogRegistry::Stop() {
  std::vector<Ledger*> ledgers;
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (follower_.joinable()) follower_.join();
  // Waits for a log that is being made.
  base::MutexLock backend_lock(&backend_mutex_);
  {
    base::MutexLock lock(&mutex_);
    for (const auto& [name, log] : logs_) ledgers.push_back(log->ledger.get());
  }
  for (Ledger* ledger : ledgers) ledger->Stop();
}

absl::StatusOr<const Log*> LogRegistry::Find(absl::string_view name) const {
  {
    base::MutexLock lock(&mutex_);
    if (const auto log = logs_.find(name); log != logs_.end()) return log->second.get();
    if (const auto failed = failed_.find(name); failed != failed_.end()) return failed->second;
  }
  ASSIGN_OR_RETURN(const LogName parsed, ParseLogName(name));
  return absl::NotFoundError(absl::StrCat("this server has no log ", parsed.ToString()));
}

std::vector<const Log*> LogRegistry::List(absl::string_view tenant, absl::string_view first,
                                          size_t count) const {
  const std::string prefix = absl::StrCat("tenants/", tenant, "/logs/");
  std::vector<const Log*> logs;
  base::MutexLock lock(&mutex_);
  for (auto it = logs_.lower_bound(std::max<absl::string_view>(first, prefix));
       it != logs_.end() && absl::StartsWith(it->first, prefix) && logs.size() < count; ++it) {
    logs.push_back(it->second.get());
  }
  return logs;
}

absl::StatusOr<const Log*> LogRegistry::Create(const LogName& name, std::string origin,
                                               std::string witness_policy) {
  const std::string text = name.ToString();
  if (origin.empty()) origin = absl::StrCat(options_.main_origin, "/", text);
  if (witness_policy.empty()) witness_policy = default_policy_;
  RETURN_IF_ERROR(CheckOrigin(origin));
  ASSIGN_OR_RETURN(const note::Policy policy, note::Policy::Parse(witness_policy));
  RETURN_IF_ERROR(CheckPolicy(policy));

  base::MutexLock lock(&backend_mutex_);
  {
    base::MutexLock state_lock(&mutex_);
    if (stopping_) return absl::UnavailableError("the ledger is stopping: try again elsewhere");
  }
  RETURN_IF_ERROR(CheckOriginIsFree(text, origin));
  if (absl::IsNotFound(Find(text).status())) {
    RETURN_IF_ERROR(backend_->Create(name, origin, witness_policy));
    RETURN_IF_ERROR(Add(name));
  }
  ASSIGN_OR_RETURN(const Log* log, Find(text));
  ASSIGN_OR_RETURN(const note::Policy known, note::Policy::Parse(log->identity.policy_text));
  if (log->identity.origin != origin) {
    return absl::AlreadyExistsError(absl::StrCat("the log ", text, " is there already, with the ",
                                                 "origin ", log->identity.origin));
  }
  if (WithoutLogs(known) != policy.Format()) {
    return absl::AlreadyExistsError(absl::StrCat("the log ", text, " is there already, with the ",
                                                 "witness policy:\n", WithoutLogs(known)));
  }
  return log;
}

absl::Status LogRegistry::CheckOriginIsFree(const std::string& name,
                                            const std::string& origin) const {
  base::MutexLock lock(&mutex_);
  for (const auto& [other, log] : logs_) {
    if (other != name && log->identity.origin == origin) {
      return absl::AlreadyExistsError(absl::StrCat("the log ", other, " has the origin ", origin,
                                                   " already: two logs of one origin are a fork"));
    }
  }
  return absl::OkStatus();
}

absl::Status LogRegistry::Add(const LogName& name) {
  absl::StatusOr<std::unique_ptr<Log>> log = Start(name);
  if (log.ok()) options_.on_open(**log);
  base::MutexLock lock(&mutex_);
  if (log.ok()) {
    failed_.erase(name.ToString());
    logs_.emplace(name.ToString(), *std::move(log));
    return absl::OkStatus();
  }
  absl::Status& known = failed_[name.ToString()];
  if (known != log.status()) {
    base::Log(base::Severity::kError, "cannot open a log",
              {{"log", name.ToString()}, {"error", log.status().ToString()}});
  }
  known = log.status();
  return known;
}

absl::StatusOr<std::unique_ptr<Log>> LogRegistry::Start(const LogName& name) {
  ASSIGN_OR_RETURN(StoredLog stored, backend_->Open(name));
  const note::NoteVerifier key = stored.signer->verifier();
  const bool is_main = name.ToString() == options_.main_log.ToString();
  if (is_main) {
    // With its log line, so that a policy made for another log is noticed.
    ASSIGN_OR_RETURN(note::Policy given, note::Policy::Parse(options_.witness_policy));
    RETURN_IF_ERROR(options_.make_cosigner(std::move(given), key).status());
    stored.witness_policy = default_policy_;
  }
  ASSIGN_OR_RETURN(note::Policy policy, note::Policy::Parse(absl::StrCat("log ", key.vkey(), "\n",
                                                                         stored.witness_policy)));
  auto log = std::make_unique<Log>();
  log->identity = {name.ToString(),
                   key.name(),
                   key.vkey(),
                   key.public_key().spki_der(),
                   std::string(base::AsBytes(key.key_hash())),
                   policy.Format()};
  Ledger::Options options = options_.ledger;
  options.origin = key.name();
  ASSIGN_OR_RETURN(auto cosigner, options_.make_cosigner(std::move(policy), key));
  ASSIGN_OR_RETURN(log->ledger, Ledger::Start(options, std::move(stored.store),
                                              std::move(stored.signer), std::move(cosigner)));
  return log;
}

void LogRegistry::FollowLoop() {
  while (true) {
    {
      base::MutexLock lock(&mutex_);
      wake_.WaitFor(&mutex_, options_.follow_interval, [this] { return stopping_; });
      if (stopping_) return;
    }
    base::MutexLock lock(&backend_mutex_);
    const absl::StatusOr<std::vector<std::string>> names = backend_->List();
    if (!names.ok()) continue;  // the database is away; the logs themselves say so
    for (const std::string& text : *names) {
      const absl::StatusOr<LogName> name = ParseLogName(text);
      if (name.ok() && !Find(text).ok()) (void)Add(*name);
    }
  }
}

}  // namespace countersign::ledger
