#include "services/sign/certificates/acme_upstream.h"

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/pki/certificate.h"
#include "libs/pki/csr.h"
#include "libs/pki/general_name.h"
#include "libs/pki/pem.h"
#include "libs/runtime/error_details.h"

namespace countersign::sign {
namespace {

absl::Status CannotName(absl::string_view message) {
  return runtime::AttachReason(absl::InvalidArgumentError(message), "BAD_NAME");
}

// The names of the request, each once.
absl::StatusOr<std::vector<acme::Identifier>> IdentifiersOf(
    const v1::IssueCertificateRequest& request, const pki::Csr& csr) {
  using Type = acme::Identifier::Type;
  std::set<acme::Identifier> identifiers;
  std::set<std::string> names;
  for (const pki::GeneralName& name : csr.extensions.subject_alt_names) {
    names.insert(absl::AsciiStrToLower(pki::FormatGeneralName(name)));
    if (name.kind == pki::GeneralName::Kind::kDns) {
      identifiers.insert({Type::kDns, absl::AsciiStrToLower(name.value)});
    } else if (name.kind == pki::GeneralName::Kind::kIp) {
      identifiers.insert({Type::kIp, pki::FormatIp(name.value)});
    } else {
      return CannotName(absl::StrCat("an ACME server certifies DNS names and IP addresses, not ",
                                     pki::FormatGeneralName(name)));
    }
  }
  if (identifiers.empty() && !csr.subject.CommonName().empty()) {
    identifiers.insert({Type::kDns, absl::AsciiStrToLower(csr.subject.CommonName())});
  }
  if (identifiers.empty()) return CannotName("the certification request names nothing");
  if (request.subject_alt_names_size() == 0) {
    return std::vector<acme::Identifier>(identifiers.begin(), identifiers.end());
  }
  std::set<std::string> wanted;
  for (const std::string& name : request.subject_alt_names()) {
    wanted.insert(absl::AsciiStrToLower(name));
  }
  // With a common name alone, a server makes it the alternative name.
  const bool same =
      names == wanted || (names.empty() && wanted.size() == 1 &&
                          *wanted.begin() == absl::StrCat("dns:", identifiers.begin()->value));
  if (!same) {
    return CannotName(
        "an ACME server takes the names from the certification request: make one that has the "
        "names that are asked for");
  }
  return std::vector<acme::Identifier>(identifiers.begin(), identifiers.end());
}

// The contents of the certificate's serialNumber, an INTEGER.
std::string SerialContents(const pki::Certificate& certificate) {
  std::string serial = certificate.serial;
  if (serial.empty() || (serial[0] & 0x80) != 0) serial.insert(0, 1, '\0');
  return serial;
}

}  // namespace

struct AcmeUpstream::Impl {
  explicit Impl(Options options)
      : challenges(options.challenges),
        threads(options.threads),
        client(std::move(options.client)) {}

  absl::StatusOr<Issued> Run(const Task& task);
  std::optional<absl::Time> RenewTime(const pki::Certificate& certificate);
  // False when it was cut short.
  bool Sleep(absl::Duration wait) {
    base::MutexLock lock(&mutex);
    return !wake.WaitFor(&mutex, wait, [this] { return cancelled; });
  }

  acme::ChallengeResponder* const challenges;
  base::ThreadPool* const threads;
  acme::Client client;
  base::Mutex mutex;
  base::CondVar wake;
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
};

// A moment of the window by chance, so that what was issued together is not renewed together
// (RFC 9773 section 4.2).
std::optional<absl::Time> AcmeUpstream::Impl::RenewTime(const pki::Certificate& certificate) {
  const auto window =
      client.GetRenewalWindow(certificate.extensions.authority_key_id, SerialContents(certificate));
  if (!window.ok()) {
    base::Log(base::Severity::kWarning, "the ACME server gave no renewal information",
              {{"error", std::string(window.status().message())}});
    return std::nullopt;
  }
  if (!window->has_value()) return std::nullopt;
  thread_local std::minstd_rand random(std::random_device{}());
  return (*window)->start +
         ((*window)->end - (*window)->start) * std::uniform_real_distribution<>(0.0, 1.0)(random);
}

absl::StatusOr<Upstream::Issued> AcmeUpstream::Impl::Run(const Task& task) {
  {
    base::MutexLock lock(&mutex);
    if (cancelled) return absl::CancelledError("the service stops");
  }
  ASSIGN_OR_RETURN(const pki::Csr csr, pki::ParseCsrDerOrPem(task.request.csr()));
  ASSIGN_OR_RETURN(const std::vector<acme::Identifier> identifiers,
                   IdentifiersOf(task.request, csr));
  ASSIGN_OR_RETURN(
      const std::string chain,
      acme::IssueByHttp01({.client = &client,
                           .challenges = challenges,
                           .save = task.save_progress,
                           .sleep = [this](absl::Duration wait) { return Sleep(wait); }},
                          identifiers, csr.der, task.progress));
  ASSIGN_OR_RETURN(std::vector<pki::PemBlock> blocks, pki::ParsePem(chain));
  if (blocks.empty() || blocks[0].label != "CERTIFICATE") {
    return absl::UnavailableError("the ACME server answered no certificate");
  }
  ASSIGN_OR_RETURN(const pki::Certificate certificate, pki::ParseCertificate(blocks[0].der));
  Issued issued;
  issued.renew_time = RenewTime(certificate);
  issued.der = std::move(blocks[0].der);
  return issued;
}

AcmeUpstream::AcmeUpstream(Options options) : impl_(std::make_shared<Impl>(std::move(options))) {}

AcmeUpstream::~AcmeUpstream() = default;

void AcmeUpstream::Issue(Task task, Done done) {
  impl_->threads->Schedule(
      [impl = impl_, task = std::move(task), done = std::move(done)] { done(impl->Run(task)); });
}

void AcmeUpstream::Cancel() {
  base::MutexLock lock(&impl_->mutex);
  impl_->cancelled = true;
  impl_->wake.NotifyAll();
}

}  // namespace countersign::sign
