#include "services/sign/certificates/authority_settings.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/crl_shard.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

constexpr int kMaxUrls = 8;
constexpr size_t kMaxUrlBytes = 512;
constexpr int kMaxShards = 1024;
constexpr int kMaxSubtrees = 1000;
// A responder's answers may not outlive the last third of its signer's 30 days.
constexpr absl::Duration kMaxOcspLifetime = absl::Hours(240);

absl::Status CheckUrl(absl::string_view field, const std::string& url) {
  if (url.size() > kMaxUrlBytes) {
    return FieldError(field, absl::StrCat("at most ", kMaxUrlBytes, " bytes"));
  }
  // The schemes that RFC 5280 and 6960 require of clients; nothing else would be fetched.
  if (!absl::StartsWith(url, "http://") && !absl::StartsWith(url, "https://")) {
    return FieldError(field, absl::StrCat("expected an http or https URL, not \"", url, "\""));
  }
  const absl::Status syntax = pki::CheckSyntax({pki::GeneralName::Kind::kUri, url});
  return syntax.ok() ? syntax : FieldError(field, syntax.message());
}

absl::Status CheckUrls(absl::string_view field,
                       const google::protobuf::RepeatedPtrField<std::string>& urls) {
  if (urls.size() > kMaxUrls) return FieldError(field, absl::StrCat("at most ", kMaxUrls, " URLs"));
  for (const std::string& url : urls) RETURN_IF_ERROR(CheckUrl(field, url));
  return absl::OkStatus();
}

// Sets `*duration` when it is 0, and keeps it to whole seconds within bounds.
absl::Status Complete(absl::string_view field, absl::Duration usual, absl::Duration least,
                      absl::Duration most, google::protobuf::Duration* duration) {
  if (duration->seconds() == 0 && duration->nanos() == 0) {
    duration->set_seconds(absl::ToInt64Seconds(usual));
  }
  const absl::Duration value = ToDuration(*duration);
  if (duration->nanos() != 0 || value < least || value > most) {
    return FieldError(
        field, absl::StrCat("expected whole seconds from ", absl::FormatDuration(least), " to ",
                            absl::FormatDuration(most)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<pki::GeneralName>> ParseSubtrees(
    absl::string_view field, const google::protobuf::RepeatedPtrField<std::string>& texts) {
  if (texts.size() > kMaxSubtrees) {
    return FieldError(field, absl::StrCat("at most ", kMaxSubtrees, " subtrees"));
  }
  std::vector<pki::GeneralName> subtrees;
  for (const std::string& text : texts) {
    absl::StatusOr<pki::GeneralName> subtree = pki::ParseSubtree(text);
    if (!subtree.ok()) return FieldError(field, subtree.status().message());
    subtrees.push_back(*std::move(subtree));
  }
  return subtrees;
}

bool IsLogName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  return parts.size() == 4 && parts[0] == "tenants" && !parts[1].empty() && parts[2] == "logs" &&
         !parts[3].empty();
}

}  // namespace

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::StatusOr<pki::NameConstraints> ConstraintsOf(absl::string_view field,
                                                   const v1::AuthoritySettings& settings) {
  pki::NameConstraints constraints;
  ASSIGN_OR_RETURN(constraints.permitted, ParseSubtrees(absl::StrCat(field, ".permitted_names"),
                                                        settings.permitted_names()));
  ASSIGN_OR_RETURN(constraints.excluded, ParseSubtrees(absl::StrCat(field, ".excluded_names"),
                                                       settings.excluded_names()));
  return constraints;
}

absl::StatusOr<v1::AuthoritySettings> CompleteSettings(absl::string_view field,
                                                       const v1::AuthoritySettings& settings) {
  v1::AuthoritySettings complete = settings;
  RETURN_IF_ERROR(CheckUrls(absl::StrCat(field, ".ocsp_urls"), settings.ocsp_urls()));
  RETURN_IF_ERROR(CheckUrls(absl::StrCat(field, ".issuer_urls"), settings.issuer_urls()));
  if (settings.crl_shards() < 0 || settings.crl_shards() > kMaxShards) {
    return FieldError(absl::StrCat(field, ".crl_shards"),
                      absl::StrCat("expected 1 to ", kMaxShards));
  }
  if (complete.crl_shards() == 0) complete.set_crl_shards(1);
  if (!settings.crl_url().empty()) {
    const std::string crl_field = absl::StrCat(field, ".crl_url");
    RETURN_IF_ERROR(CheckUrl(crl_field, CrlUrlOf(settings.crl_url(), 0)));
    if (complete.crl_shards() > 1 && !absl::StrContains(settings.crl_url(), "{shard}")) {
      return FieldError(crl_field, "with more than one shard it needs {shard}");
    }
  }
  RETURN_IF_ERROR(Complete(absl::StrCat(field, ".crl_lifetime"), absl::Hours(7 * 24),
                           absl::Hours(1), absl::Hours(400 * 24), complete.mutable_crl_lifetime()));
  RETURN_IF_ERROR(Complete(absl::StrCat(field, ".ocsp_lifetime"), absl::Hours(4 * 24),
                           absl::Minutes(10), kMaxOcspLifetime, complete.mutable_ocsp_lifetime()));
  const absl::Duration lifetime = ToDuration(complete.ocsp_lifetime());
  RETURN_IF_ERROR(Complete(absl::StrCat(field, ".ocsp_max_age"),
                           std::min<absl::Duration>(absl::Hours(1), lifetime), absl::Seconds(1),
                           lifetime, complete.mutable_ocsp_max_age()));
  RETURN_IF_ERROR(ConstraintsOf(field, settings).status());
  if (!settings.log().empty() && !IsLogName(settings.log())) {
    return FieldError(
        absl::StrCat(field, ".log"),
        absl::StrCat("expected tenants/{tenant}/logs/{log}, not \"", settings.log(), "\""));
  }
  return complete;
}

}  // namespace countersign::sign
