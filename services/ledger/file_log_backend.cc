#include "services/ledger/file_log_backend.h"

#include <stdio.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/ledger/log_key.h"

namespace countersign::ledger {
namespace {

constexpr char kPolicyFile[] = "/witness-policy";
constexpr char kVkeyFile[] = "/log.vkey";

// The folders in `path`; none when it is not there.
absl::StatusOr<std::vector<std::string>> Folders(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator it(path, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    if (it->is_directory(error)) names.push_back(it->path().filename().string());
  }
  if (error) return base::ErrnoStatus(error.value(), absl::StrCat("read the folder ", path));
  return names;
}

// The origin that a log's folder was made for.
absl::StatusOr<std::string> OriginOf(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string vkey, base::ReadFile(folder + kVkeyFile));
  ASSIGN_OR_RETURN(const note::NoteVerifier key,
                   note::ParseVkey(absl::StripTrailingAsciiWhitespace(vkey)));
  return key.name();
}

}  // namespace

std::string FileLogBackend::FolderOf(const LogName& name) const {
  const std::string& data = options_.store.directory;
  return name.ToString() == options_.main_log.ToString()
             ? data
             : absl::StrCat(data, "/logs/", name.tenant, "/", name.log);
}

absl::StatusOr<std::vector<std::string>> FileLogBackend::List() {
  std::vector<std::string> names;
  if (base::FileExists(options_.store.directory + kVkeyFile)) {
    names.push_back(options_.main_log.ToString());
  }
  const std::string logs = options_.store.directory + "/logs";
  ASSIGN_OR_RETURN(const std::vector<std::string> tenants, Folders(logs));
  for (const std::string& tenant : tenants) {
    ASSIGN_OR_RETURN(const std::vector<std::string> ids, Folders(absl::StrCat(logs, "/", tenant)));
    for (const std::string& id : ids) {
      // Not one that a crash left half made: its name is none.
      const std::string name = LogName{tenant, id}.ToString();
      if (ParseLogName(name).ok()) names.push_back(name);
    }
  }
  return names;
}

absl::StatusOr<StoredLog> FileLogBackend::Open(const LogName& name) {
  const std::string folder = FolderOf(name);
  if (!base::FileExists(folder + kVkeyFile)) {
    return absl::NotFoundError(absl::StrCat("this server has no log ", name.ToString()));
  }
  StoredLog log;
  FileLogStore::Options store = options_.store;
  store.directory = folder;
  // First of all, because it locks the folder.
  ASSIGN_OR_RETURN(log.store, FileLogStore::Open(store));
  ASSIGN_OR_RETURN(const std::string origin, OriginOf(folder));
  ASSIGN_OR_RETURN(log.signer, OpenLogKey(folder, options_.kek_path, origin));
  absl::StatusOr<std::string> policy = base::ReadFile(folder + kPolicyFile);
  if (policy.ok()) {
    log.witness_policy = *std::move(policy);
  } else if (!absl::IsNotFound(policy.status())) {
    return policy.status();
  }
  return log;
}

absl::Status FileLogBackend::Create(const LogName& name, const std::string& origin,
                                    const std::string& witness_policy) {
  const std::string folder = FolderOf(name);
  if (name.ToString() == options_.main_log.ToString()) {
    RETURN_IF_ERROR(base::EnsureDirectory(folder, 0700));
    ASSIGN_OR_RETURN(const auto lock, base::DirectoryLock::Acquire(folder));
    return OpenLogKey(folder, options_.kek_path, origin).status();
  }
  if (base::FileExists(folder + kVkeyFile)) return absl::OkStatus();
  // Also those that did not open.
  ASSIGN_OR_RETURN(const std::vector<std::string> others, List());
  for (const std::string& other : others) {
    ASSIGN_OR_RETURN(const LogName other_name, ParseLogName(other));
    const absl::StatusOr<std::string> taken = OriginOf(FolderOf(other_name));
    if (taken.ok() && *taken == origin) {
      return absl::AlreadyExistsError(absl::StrCat("the log ", other, " has the origin ", origin,
                                                   " already: two logs of one origin are a fork"));
    }
  }
  const std::string parent = absl::StrCat(options_.store.directory, "/logs/", name.tenant);
  RETURN_IF_ERROR(base::EnsureDirectory(parent, 0700));
  // Beside its place until it is whole. What a crash left of it is made anew.
  const std::string unfinished = absl::StrCat(parent, "/.", name.log);
  std::error_code error;
  std::filesystem::remove_all(unfinished, error);
  if (error) return base::ErrnoStatus(error.value(), absl::StrCat("remove ", unfinished));
  RETURN_IF_ERROR(base::EnsureDirectory(unfinished, 0700));
  RETURN_IF_ERROR(OpenLogKey(unfinished, options_.kek_path, origin).status());
  RETURN_IF_ERROR(base::WriteFileDurably(unfinished + kPolicyFile, witness_policy));
  if (rename(unfinished.c_str(), folder.c_str()) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("rename ", unfinished, " to ", folder));
  }
  return base::SyncDirectory(parent);
}

}  // namespace countersign::ledger
