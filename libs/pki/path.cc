#include "libs/pki/path.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

// More than any real chain; ends what a pool of certificates that issue one another would go on
// with.
constexpr size_t kMaxChain = 32;

class Refusal {
 public:
  Refusal(absl::Span<const Certificate> path, size_t index) : path_(path), index_(index) {}

  absl::Status operator()(absl::string_view why) const {
    return absl::FailedPreconditionError(absl::StrCat(
        "certificate ", index_ + 1, " of ", path_.size(), " (", FormatName(path_[index_].subject),
        ", serial ", path_[index_].SerialHex(), "): ", why));
  }

 private:
  absl::Span<const Certificate> path_;
  size_t index_;
};

// RFC 5280 section 6.1.4 (k) to (n), of the issuer at `index`.
absl::Status CheckIssuer(absl::Span<const Certificate> path, size_t index, const Refusal& refused) {
  const Extensions& extensions = path[index].extensions;
  if (!extensions.basic_constraints.has_value() || !extensions.basic_constraints->ca) {
    return refused("it issues certificates and is no CA (basicConstraints)");
  }
  if (extensions.key_usage.has_value() && (*extensions.key_usage & kKeyCertSign) == 0) {
    return refused("it issues certificates without keyCertSign");
  }
  if (!extensions.basic_constraints->path_length.has_value()) return absl::OkStatus();
  int64_t below = 0;
  for (size_t i = 1; i < index; ++i) {
    if (!path[i].IsSelfIssued()) ++below;
  }
  if (below > *extensions.basic_constraints->path_length) {
    return refused(absl::StrCat("its path length of ", *extensions.basic_constraints->path_length,
                                " is exceeded: ", below, " CA certificates are below it"));
  }
  return absl::OkStatus();
}

// Section 6.1.3 (b) and (c): the constraints of all above `index` on its names.
absl::Status CheckNames(absl::Span<const Certificate> path, size_t index, const Refusal& refused) {
  const Certificate& certificate = path[index];
  if (index != 0 && certificate.IsSelfIssued()) return absl::OkStatus();
  for (size_t above = index + 1; above < path.size(); ++above) {
    const auto& constraints = path[above].extensions.name_constraints;
    if (!constraints.has_value()) continue;
    if (absl::Status status = CheckConstraints(*constraints, certificate.subject); !status.ok()) {
      return refused(status.message());
    }
    for (const GeneralName& name : certificate.extensions.subject_alt_names) {
      if (absl::Status status = CheckConstraints(*constraints, name); !status.ok()) {
        return refused(status.message());
      }
    }
  }
  return absl::OkStatus();
}

bool IsSelfSigned(const Certificate& certificate) {
  return certificate.IsSelfIssued() && certificate.CheckIssuedBy(certificate).ok();
}

bool IsIssuer(const Certificate& candidate, const Certificate& certificate) {
  if (candidate.subject_der != certificate.issuer_der) return false;
  const std::string& wanted = certificate.extensions.authority_key_id;
  const std::string& found = candidate.extensions.subject_key_id;
  if (!wanted.empty() && !found.empty() && wanted != found) return false;
  return certificate.CheckIssuedBy(candidate).ok();
}

}  // namespace

absl::Status CheckPath(absl::Span<const Certificate> path, absl::Time now) {
  if (path.empty()) return absl::FailedPreconditionError("the path has no certificate");
  for (size_t index = path.size(); index-- > 0;) {
    const Certificate& certificate = path[index];
    const Refusal refused(path, index);
    if (now < certificate.not_before) {
      return refused(absl::StrCat("it is not valid before ",
                                  absl::FormatTime(certificate.not_before, absl::UTCTimeZone())));
    }
    if (now >= certificate.not_after + absl::Seconds(1)) {
      return refused(absl::StrCat("it expired at ",
                                  absl::FormatTime(certificate.not_after, absl::UTCTimeZone())));
    }
    for (const Extension& extension : certificate.extensions.others) {
      if (extension.critical) {
        return refused(absl::StrCat("its critical extension ", FormatOid(extension.oid),
                                    " is not understood"));
      }
    }
    if (index + 1 < path.size()) {
      if (absl::Status status = certificate.CheckIssuedBy(path[index + 1]); !status.ok()) {
        return refused(status.message());
      }
    }
    if (index > 0) RETURN_IF_ERROR(CheckIssuer(path, index, refused));
    RETURN_IF_ERROR(CheckNames(path, index, refused));
  }
  return absl::OkStatus();
}

std::vector<Certificate> OrderChain(const Certificate& leaf, absl::Span<const Certificate> pool) {
  std::vector<Certificate> chain = {leaf};
  std::vector<bool> used(pool.size(), false);
  while (chain.size() < kMaxChain && !IsSelfSigned(chain.back())) {
    size_t next = pool.size();
    for (size_t i = 0; i < pool.size() && next == pool.size(); ++i) {
      if (!used[i] && IsIssuer(pool[i], chain.back())) next = i;
    }
    if (next == pool.size()) break;
    used[next] = true;
    chain.push_back(pool[next]);
  }
  return chain;
}

}  // namespace countersign::pki
