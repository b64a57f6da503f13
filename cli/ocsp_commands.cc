#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "countersign/ocsp/v1/ocsp.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/http/client.h"
#include "libs/http/url.h"
#include "libs/pki/certificate.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_response.h"
#include "libs/pki/pem.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace ocsp_pb = ::countersign::ocsp::v1;
using Kind = pki::OcspResponse::Single::Kind;

// RFC 9654 section 2.1: at least 32 bytes.
constexpr size_t kNonceBytes = 32;

struct StatusOptions {
  std::string certificate_file;
  std::string issuer_file;
  std::string url;
  bool grpc = false;
  bool get = false;
  bool nonce = true;
  std::string hash = "sha256";
};

// The file's certificates, DER; at least one.
absl::StatusOr<std::vector<pki::Certificate>> ReadCertificates(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(path));
  std::vector<pki::Certificate> certificates;
  if (absl::StrContains(bytes, "-----BEGIN ")) {
    ASSIGN_OR_RETURN(const std::vector<pki::PemBlock> blocks, pki::ParsePem(bytes));
    for (const pki::PemBlock& block : blocks) {
      if (block.label != "CERTIFICATE") continue;
      ASSIGN_OR_RETURN(pki::Certificate certificate, pki::ParseCertificate(block.der));
      certificates.push_back(std::move(certificate));
    }
  } else {
    ASSIGN_OR_RETURN(pki::Certificate certificate, pki::ParseCertificate(bytes));
    certificates.push_back(std::move(certificate));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " holds no certificate"));
  }
  return certificates;
}

struct Pair {
  pki::Certificate certificate;
  pki::Certificate issuer;
};

// The certificate, and its issuer from --issuer or from behind it in the same file.
absl::StatusOr<Pair> ReadPair(const StatusOptions& options) {
  ASSIGN_OR_RETURN(std::vector<pki::Certificate> chain, ReadCertificates(options.certificate_file));
  std::vector<pki::Certificate> issuers;
  if (!options.issuer_file.empty()) {
    ASSIGN_OR_RETURN(issuers, ReadCertificates(options.issuer_file));
  } else {
    issuers.assign(chain.begin() + 1, chain.end());
  }
  for (pki::Certificate& issuer : issuers) {
    if (chain[0].CheckIssuedBy(issuer).ok()) return Pair{std::move(chain[0]), std::move(issuer)};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the issuer of ", options.certificate_file, ", ", pki::FormatName(chain[0].issuer),
      ", is not in ", options.issuer_file.empty() ? options.certificate_file : options.issuer_file,
      "; name a file with its certificate by --issuer"));
}

absl::StatusOr<std::string> AskHttp(const Context& context, const StatusOptions& options,
                                    const std::string& url, const std::string& request) {
  http::ClientRequest call;
  call.url = url;
  call.timeout = absl::Seconds(context.timeout_seconds);
  call.idempotent = true;
  if (options.get) {
    absl::StrAppend(&call.url, absl::EndsWith(url, "/") ? "" : "/",
                    http::PercentEncode(base::Base64Encode(request)));
  } else {
    call.method = "POST";
    call.headers.Add("Content-Type", "application/ocsp-request");
    call.body = request;
  }
  http::Client client;
  ASSIGN_OR_RETURN(const http::Response response, client.Call(std::move(call)));
  if (response.status != 200 ||
      !absl::StartsWith(response.headers.Get("Content-Type"), "application/ocsp-response")) {
    return absl::UnavailableError(absl::StrCat(url, " answered ", response.status, " with ",
                                               response.headers.Has("Content-Type")
                                                   ? response.headers.Get("Content-Type")
                                                   : "no Content-Type",
                                               ", which is no OCSP response"));
  }
  return std::string(response.body_view());
}

absl::StatusOr<std::string> AskGrpc(Context& context, const std::string& request) {
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  ocsp_pb::RespondRequest call_request;
  call_request.set_request(request);
  ocsp_pb::RespondResponse response;
  RETURN_IF_ERROR(context.Call(
      "ocsp", endpoints.ocsp,
      [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
        return ocsp_pb::OcspService::NewStub(channel)->Respond(call, call_request, &response);
      }));
  return response.response();
}

// RFC 6960 section 4.2.1.
absl::string_view ErrorText(int response_status) {
  switch (response_status) {
    case 1:
      return "malformedRequest (1)";
    case 2:
      return "internalError (2)";
    case 3:
      return "tryLater (3)";
    case 5:
      return "sigRequired (5)";
    case 6:
      return "unauthorized (6): it does not answer for this issuer, or never issued this";
    default:
      return "an unknown error";
  }
}

// The answer about this certificate, once all that RFC 6960 section 3.2 asks for is found right.
absl::StatusOr<pki::OcspResponse::Single> Check(const pki::OcspResponse& response, const Pair& pair,
                                                pki::OcspHash hash, const std::string& nonce,
                                                absl::Time now) {
  if (response.response_status != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the responder answered ", ErrorText(response.response_status)));
  }
  RETURN_IF_ERROR(pki::CheckOcspResponse(response, pair.issuer, now));
  if (!response.nonce.empty() && response.nonce != nonce) {
    return absl::FailedPreconditionError("the response bears another request's nonce");
  }
  for (const pki::OcspResponse::Single& single : response.singles) {
    if (single.hash != hash || single.serial != pair.certificate.serial ||
        single.issuer_name_hash != pki::OcspDigest(hash, pair.issuer.subject_der) ||
        single.issuer_key_hash != pki::OcspDigest(hash, pair.issuer.key_bits)) {
      continue;
    }
    return single;
  }
  return absl::FailedPreconditionError("the response is about other certificates");
}

const char* KindText(Kind kind) {
  switch (kind) {
    case Kind::kGood:
      return "good";
    case Kind::kRevoked:
      return "revoked";
    case Kind::kUnknown:
      break;
  }
  return "unknown";
}

// CRLReason's numbers are the contract's less one.
std::string CrlReasonText(int reason) {
  return ReasonText(static_cast<sign::v1::RevocationReason>(reason + 1));
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

void PrintJson(const Pair& pair, const pki::OcspResponse& response,
               const pki::OcspResponse::Single& single, const std::string& from, Output* output) {
  nlohmann::ordered_json root = {{"serialNumber", pair.certificate.SerialHex()},
                                 {"status", KindText(single.kind)},
                                 {"thisUpdate", Rfc3339(single.this_update)}};
  if (single.next_update != absl::InfiniteFuture()) {
    root["nextUpdate"] = Rfc3339(single.next_update);
  }
  root["producedAt"] = Rfc3339(response.produced_at);
  if (single.kind == Kind::kRevoked) {
    root["revocationTime"] = Rfc3339(single.revocation_time);
    root["reason"] = CrlReasonText(single.reason);
  }
  root["nonce"] = !response.nonce.empty();
  root["delegated"] = !response.certificates.empty();
  root["from"] = from;
  output->out() << root.dump(2) << "\n";
}

void Print(const Pair& pair, const pki::OcspResponse& response,
           const pki::OcspResponse::Single& single, const std::string& from, bool asked_nonce,
           absl::Time now, Output* output) {
  const bool good = single.kind == Kind::kGood;
  output->Headline(good, absl::StrCat(good                            ? "Good: "
                                      : single.kind == Kind::kRevoked ? "REVOKED: "
                                                                      : "Unknown: ",
                                      pair.certificate.SerialHex()));
  const std::string subject = pki::FormatName(pair.certificate.subject);
  if (!subject.empty()) output->Field("Subject", subject);
  output->Field("Issuer", pki::FormatName(pair.issuer.subject));
  if (single.kind == Kind::kRevoked) {
    output->Field(
        "Revoked",
        absl::StrCat(FormatUtc(single.revocation_time), ", ", CrlReasonText(single.reason)),
        Tone::kBad);
  }
  output->Field("As of", FormatUtc(single.this_update));
  if (single.next_update != absl::InfiniteFuture()) {
    output->Field("Next", absl::StrCat(FormatUtc(single.next_update), ", ",
                                       Distance(single.next_update, now)));
  }
  output->Field("Signed by", response.certificates.empty()
                                 ? "the issuer itself"
                                 : "a delegate of the issuer, with its certificate");
  if (asked_nonce) {
    output->Field("Nonce", response.nonce.empty() ? "not answered: signed ahead of the question"
                                                  : "answered: signed for this question");
  }
  output->Field("From", from);
}

absl::StatusOr<int> ShowStatus(Context& context, const StatusOptions& options) {
  ASSIGN_OR_RETURN(const Pair pair, ReadPair(options));
  const pki::OcspHash hash = options.hash == "sha1" ? pki::OcspHash::kSha1 : pki::OcspHash::kSha256;
  const std::string nonce = options.nonce ? crypto::RandomBytes(kNonceBytes) : "";
  const std::string request = pki::BuildOcspRequest(
      hash, pair.issuer.subject_der, pair.issuer.key_bits, pair.certificate.serial, nonce);
  std::string from = options.url;
  if (from.empty() && !options.grpc && !pair.certificate.extensions.ocsp_urls.empty()) {
    from = pair.certificate.extensions.ocsp_urls[0];
  }
  std::string der;
  if (from.empty()) {
    ASSIGN_OR_RETURN(der, AskGrpc(context, request));
    from = "the ocsp service, by gRPC";
  } else {
    ASSIGN_OR_RETURN(der, AskHttp(context, options, from, request));
  }
  const absl::Time now = absl::Now();
  ASSIGN_OR_RETURN(const pki::OcspResponse response, pki::ParseOcspResponse(der));
  ASSIGN_OR_RETURN(const pki::OcspResponse::Single single, Check(response, pair, hash, nonce, now));
  if (context.json) {
    PrintJson(pair, response, single, from, &context.output);
  } else {
    Print(pair, response, single, from, options.nonce, now, &context.output);
  }
  return single.kind == Kind::kGood ? kExitOk : kExitNotVerified;
}

}  // namespace

void AddOcspCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("ocsp", "Ask whether certificates are revoked");
  group->require_subcommand(1);
  const auto options = std::make_shared<StatusOptions>();
  CLI::App* status = AddVerdictCommand(
      *group, context, options, "status",
      "Ask, and verify the answer; exit code 0 good, 1 revoked or unknown, 2 undecided",
      ShowStatus);
  status->add_option("CERTIFICATE", options->certificate_file, "File with it, PEM or DER")
      ->required();
  status->add_option("--issuer", options->issuer_file,
                     "File with its issuer's; what stands behind it in its file when not given");
  status->add_option("--url", options->url,
                     "Responder to ask by HTTP; the certificate's own when not given");
  status->add_flag("--grpc", options->grpc, "Ask the suite's ocsp service by gRPC");
  status->add_flag("--get", options->get, "Ask by GET instead of POST");
  status->add_flag("--nonce,!--no-nonce", options->nonce,
                   "Send a nonce, for an answer signed now (the default)");
  status->add_option("--hash", options->hash, "Of the CertID")
      ->check(CLI::IsMember({"sha256", "sha1"}))
      ->capture_default_str();
}

}  // namespace countersign::cli
