#include "libs/crypto/locked_secret.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/random.h"

namespace countersign::crypto {
namespace {

size_t PageBytes() {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

absl::Status CannotLock(const char* call, int error) {
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot keep a secret in memory that is not swapped out: ", call, ": ",
                   std::strerror(error), "; raise RLIMIT_MEMLOCK (ulimit -l)"));
}

// Guard page, page, guard page.
void Unmap(char* page) { munmap(page - PageBytes(), 3 * PageBytes()); }

}  // namespace

absl::StatusOr<LockedSecret> LockedSecret::Create(const SecretBytes& secret) {
  const size_t page_bytes = PageBytes();
  if (secret.size() > page_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("a locked secret has up to ", page_bytes,
                                                   " bytes, and this one has ", secret.size()));
  }
  void* const pages = mmap(nullptr, 3 * page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return CannotLock("mmap", errno);
  char* const page = static_cast<char*>(pages) + page_bytes;
  const char* failed = nullptr;
  if (mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) {
    failed = "mprotect";
    // Not mlock, which AddressSanitizer turns into nothing.
  } else if (mlock2(page, page_bytes, 0) != 0) {
    failed = "mlock";
  } else if (madvise(page, page_bytes, MADV_DONTDUMP) != 0 ||
             madvise(page, page_bytes, MADV_WIPEONFORK) != 0) {
    failed = "madvise";
  }
  if (failed != nullptr) {
    const int error = errno;
    Unmap(page);
    return CannotLock(failed, error);
  }
  const absl::string_view bytes = secret.Expose(SecretAccess::Grant());
  if (!bytes.empty()) std::memcpy(page, bytes.data(), bytes.size());
  LockedSecret out;
  out.page_ = page;
  out.size_ = bytes.size();
  return out;
}

LockedSecret::~LockedSecret() { Release(); }

LockedSecret::LockedSecret(LockedSecret&& other) noexcept
    : page_(std::exchange(other.page_, nullptr)), size_(std::exchange(other.size_, 0)) {}

LockedSecret& LockedSecret::operator=(LockedSecret&& other) noexcept {
  if (this != &other) {
    Release();
    page_ = std::exchange(other.page_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SecretBytes LockedSecret::Copy() const { return SecretBytes(absl::string_view(page_, size_)); }

bool LockedSecret::Equals(const SecretBytes& other) const {
  return ConstantTimeEquals(absl::string_view(page_, size_), other.Expose(SecretAccess::Grant()));
}

void LockedSecret::Release() {
  if (page_ == nullptr) return;
  Wipe(page_, size_);
  Unmap(page_);
  page_ = nullptr;
  size_ = 0;
}

}  // namespace countersign::crypto
