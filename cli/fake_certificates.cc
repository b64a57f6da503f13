#include "cli/fake_certificates.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/names.h"
#include "libs/base/bytes.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/csr.h"
#include "libs/pki/name.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_responder.h"
#include "libs/pki/signature.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using crypto::Algorithm;

constexpr int kRenewed = 1000;
constexpr char kRenewalName[] = "tenants/default/renewals/r1";

grpc::Status NotFound(const std::string& name) {
  return grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no " + name);
}

pki::Certificate SelfSigned(const crypto::PrivateKey& key) {
  pki::CertificateTemplate what;
  what.serial = "\x01\x02\x03\x04\x05\x06\x07\x08";
  what.subject_der = pki::EncodeName(pki::ParseNameText("CN=Fake Root").value());
  what.issuer_der = what.subject_der;
  what.not_before = absl::Now() - absl::Hours(1);
  what.not_after = absl::Now() + absl::Hours(24 * 3650);
  what.spki_der = key.public_key().spki_der();
  what.basic_constraints = pki::BasicConstraints{true, {}};
  what.key_usage = pki::kKeyCertSign | pki::kCrlSign | pki::kDigitalSignature;
  what.subject_key_id = pki::KeyIdentifier(what.spki_der);
  return pki::ParseCertificate(pki::SignAndAssemble(pki::BuildTbsCertificate(what), key).value())
      .value();
}

// The fake states of a renewal: `done` of 1,000 are done.
pb::Renewal RenewalAt(const FakePki& pki, int64_t done) {
  pb::Renewal renewal;
  renewal.set_name(kRenewalName);
  renewal.set_total(kRenewed);
  const int64_t failed = done * pki.failing_renewals / kRenewed;
  renewal.set_failed(failed);
  renewal.set_succeeded(done - failed);
  renewal.set_running(done < kRenewed ? 50 : 0);
  renewal.set_concurrency(50);
  renewal.mutable_create_time()->set_seconds(1'700'000'000);
  if (done == kRenewed) {
    renewal.set_done(true);
    renewal.mutable_end_time()->set_seconds(1'700'000'021);
  }
  return renewal;
}

pb::Issuance IssuanceIn(pb::IssuanceState state, int tries) {
  pb::Issuance issuance;
  issuance.set_name("tenants/default/issuances/i1");
  issuance.set_state(state);
  issuance.set_tries(tries);
  issuance.set_max_tries(3);
  issuance.mutable_create_time()->set_seconds(1'700'000'000);
  if (state == pb::ISSUANCE_STATE_SUCCEEDED) {
    issuance.set_certificate("tenants/default/certificates/abc");
  }
  if (state == pb::ISSUANCE_STATE_WAITING || state == pb::ISSUANCE_STATE_FAILED) {
    issuance.mutable_error()->set_message("the upstream is asleep");
  }
  if (state == pb::ISSUANCE_STATE_WAITING) {
    issuance.mutable_next_try_time()->set_seconds(absl::ToUnixSeconds(absl::Now()) + 60);
  }
  return issuance;
}

}  // namespace

FakePki::FakePki()
    : key(crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256).value()),
      root(SelfSigned(key)) {}

pb::Certificate FakePki::Issue(const pb::IssueCertificateRequest& request) {
  const pki::Csr csr = pki::ParseCsrDerOrPem(request.csr()).value();
  pki::CertificateTemplate what;
  what.serial = pki::RandomSerial();
  what.issuer_der = root.subject_der;
  what.subject_der = csr.subject_der;
  what.not_before = absl::Now() - absl::Minutes(5);
  what.not_after =
      what.not_before +
      (request.has_lifetime() ? absl::Seconds(request.lifetime().seconds()) : absl::Hours(24 * 90));
  what.spki_der = wrong_key ? root.spki_der : csr.spki_der;
  what.subject_alt_names = csr.extensions.subject_alt_names;
  what.authority_key_id = root.extensions.subject_key_id;
  const std::string der = pki::SignAndAssemble(pki::BuildTbsCertificate(what), key).value();
  const pki::Certificate parsed = pki::ParseCertificate(der).value();
  pb::Certificate certificate;
  certificate.set_name(absl::StrCat("tenants/default/certificates/", parsed.SerialHex()));
  certificate.set_authority(request.parent());
  certificate.set_serial_number(parsed.SerialHex());
  certificate.set_profile(request.profile());
  certificate.set_status(pb::CERTIFICATE_STATUS_ACTIVE);
  certificate.set_subject(pki::FormatName(parsed.subject));
  certificate.set_issuer(pki::FormatName(parsed.issuer));
  ToProto(parsed.not_before, certificate.mutable_not_before());
  ToProto(parsed.not_after, certificate.mutable_not_after());
  certificate.set_fingerprint_sha256(base::HexEncode(parsed.Fingerprint()));
  for (const pki::GeneralName& name : parsed.extensions.subject_alt_names) {
    certificate.add_host_names(name.kind == pki::GeneralName::Kind::kIp ? pki::FormatIp(name.value)
                                                                        : name.value);
  }
  certificate.set_owner_team(request.owner_team());
  certificate.set_environment(request.environment());
  certificate.set_der(der);
  certificates[certificate.name()] = certificate;
  return certificate;
}

grpc::Status FakeAuthorities::CreateAuthority(grpc::ServerContext*,
                                              const pb::CreateAuthorityRequest* request,
                                              pb::CreateAuthorityResponse* response) {
  pki_->created = *request;
  pb::Authority& authority =
      pki_->authorities[absl::StrCat(request->parent(), "/authorities/", request->authority_id())];
  authority = request->authority();
  authority.set_name(absl::StrCat(request->parent(), "/authorities/", request->authority_id()));
  authority.set_serial_number(pki_->root.SerialHex());
  authority.add_chain(pki_->root.der);
  *response->mutable_authority() = authority;
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::ImportAuthority(grpc::ServerContext*,
                                              const pb::ImportAuthorityRequest* request,
                                              pb::ImportAuthorityResponse* response) {
  pki_->imported = *request;
  response->mutable_authority()->set_name(
      absl::StrCat(request->parent(), "/authorities/", request->authority_id()));
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::GetAuthority(grpc::ServerContext*,
                                           const pb::GetAuthorityRequest* request,
                                           pb::GetAuthorityResponse* response) {
  const auto found = pki_->authorities.find(request->name());
  if (found == pki_->authorities.end()) return NotFound(request->name());
  *response->mutable_authority() = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::ListAuthorities(grpc::ServerContext*,
                                              const pb::ListAuthoritiesRequest* request,
                                              pb::ListAuthoritiesResponse* response) {
  const auto next = pki_->authorities.upper_bound(request->page_token());
  if (next == pki_->authorities.end()) return grpc::Status::OK;
  *response->add_authorities() = next->second;
  if (std::next(next) != pki_->authorities.end()) response->set_next_page_token(next->first);
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::UpdateAuthority(grpc::ServerContext*,
                                              const pb::UpdateAuthorityRequest* request,
                                              pb::UpdateAuthorityResponse* response) {
  pki_->updated = *request;
  const auto found = pki_->authorities.find(request->authority().name());
  if (found == pki_->authorities.end()) return NotFound(request->authority().name());
  if (request->update_mask().paths(0) == "disabled") {
    found->second.set_disabled(request->authority().disabled());
  } else {
    *found->second.mutable_settings() = request->authority().settings();
  }
  *response->mutable_authority() = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::CrossSignAuthority(grpc::ServerContext*,
                                                 const pb::CrossSignAuthorityRequest* request,
                                                 pb::CrossSignAuthorityResponse* response) {
  response->mutable_certificate()->set_name(absl::StrCat(request->name(), request->authority()));
  response->mutable_certificate()->set_der(pki_->root.der);
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::ExportAuthority(grpc::ServerContext*,
                                              const pb::ExportAuthorityRequest* request,
                                              pb::ExportAuthorityResponse* response) {
  response->set_data(absl::StrCat(request->format(), request->include_key() ? " with key " : " ",
                                  request->passphrase()));
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::RotateOcspSigner(grpc::ServerContext*,
                                               const pb::RotateOcspSignerRequest* request,
                                               pb::RotateOcspSignerResponse* response) {
  const auto found = pki_->authorities.find(request->name());
  if (found == pki_->authorities.end()) return NotFound(request->name());
  found->second.set_ocsp_signer(pki_->root.der);
  *response->mutable_authority() = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::GetCrl(grpc::ServerContext*, const pb::GetCrlRequest* request,
                                     pb::GetCrlResponse* response) {
  if (request->shard() != 0) return NotFound("such shard");
  response->set_der("a CRL");
  response->set_number(7);
  response->set_entries(1);
  ToProto(absl::Now(), response->mutable_this_update());
  ToProto(absl::Now() + absl::Hours(169), response->mutable_next_update());
  return grpc::Status::OK;
}

grpc::Status FakeAuthorities::PublishCrls(grpc::ServerContext*, const pb::PublishCrlsRequest*,
                                          pb::PublishCrlsResponse*) {
  return grpc::Status::OK;
}

grpc::Status FakeInventory::IssueCertificate(grpc::ServerContext*,
                                             const pb::IssueCertificateRequest* request,
                                             pb::IssueCertificateResponse* response) {
  pki_->issued = *request;
  if (!pki_->refusal.ok()) return pki_->refusal;
  *response->mutable_certificate() = pki_->Issue(*request);
  response->add_issuers(pki_->root.der);
  return grpc::Status::OK;
}

grpc::Status FakeInventory::GetCertificate(grpc::ServerContext*,
                                           const pb::GetCertificateRequest* request,
                                           pb::GetCertificateResponse* response) {
  const auto found = pki_->certificates.find(request->name());
  if (found == pki_->certificates.end()) return NotFound(request->name());
  *response->mutable_certificate() = found->second;
  response->add_issuers(pki_->root.der);
  return grpc::Status::OK;
}

grpc::Status FakeInventory::ListCertificates(grpc::ServerContext*,
                                             const pb::ListCertificatesRequest* request,
                                             pb::ListCertificatesResponse* response) {
  pki_->listed = *request;
  const auto next = pki_->certificates.upper_bound(request->page_token());
  if (next == pki_->certificates.end()) return grpc::Status::OK;
  *response->add_certificates() = next->second;
  if (std::next(next) != pki_->certificates.end()) response->set_next_page_token(next->first);
  return grpc::Status::OK;
}

grpc::Status FakeInventory::RevokeCertificate(grpc::ServerContext*,
                                              const pb::RevokeCertificateRequest* request,
                                              pb::RevokeCertificateResponse* response) {
  const auto found = pki_->certificates.find(request->name());
  if (found == pki_->certificates.end()) return NotFound(request->name());
  found->second.set_status(request->reason() == pb::REVOCATION_REASON_CERTIFICATE_HOLD
                               ? pb::CERTIFICATE_STATUS_ON_HOLD
                               : pb::CERTIFICATE_STATUS_REVOKED);
  found->second.set_revocation_reason(request->reason());
  ToProto(absl::Now(), found->second.mutable_revocation_time());
  *response->mutable_certificate() = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeInventory::BatchRevokeCertificates(
    grpc::ServerContext*, const pb::BatchRevokeCertificatesRequest* request,
    pb::BatchRevokeCertificatesResponse* response) {
  pki_->revoked = *request;
  response->add_names("tenants/default/certificates/a");
  response->add_names("tenants/default/certificates/b");
  return grpc::Status::OK;
}

grpc::Status FakeInventory::ReleaseCertificate(grpc::ServerContext*,
                                               const pb::ReleaseCertificateRequest* request,
                                               pb::ReleaseCertificateResponse* response) {
  const auto found = pki_->certificates.find(request->name());
  if (found == pki_->certificates.end()) return NotFound(request->name());
  found->second.set_status(pb::CERTIFICATE_STATUS_ACTIVE);
  *response->mutable_certificate() = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeInventory::BulkUpdateCertificates(grpc::ServerContext*,
                                                   const pb::BulkUpdateCertificatesRequest* request,
                                                   pb::BulkUpdateCertificatesResponse* response) {
  pki_->changed = *request;
  response->set_updated(42);
  return grpc::Status::OK;
}

grpc::Status FakeInventory::ImportCertificates(grpc::ServerContext*,
                                               const pb::ImportCertificatesRequest* request,
                                               pb::ImportCertificatesResponse* response) {
  for (int i = 0; i < request->certificates_size(); ++i) {
    response->add_certificates()->set_name(absl::StrCat("tenants/default/certificates/fp-", i));
  }
  return grpc::Status::OK;
}

grpc::Status FakeQueue::EnqueueIssuance(grpc::ServerContext*,
                                        const pb::EnqueueIssuanceRequest* request,
                                        pb::EnqueueIssuanceResponse* response) {
  pki_->enqueued = *request;
  if (!pki_->refusal.ok()) return pki_->refusal;
  *response->mutable_issuance() = IssuanceIn(pb::ISSUANCE_STATE_QUEUED, 0);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::GetIssuance(grpc::ServerContext*, const pb::GetIssuanceRequest* request,
                                    pb::GetIssuanceResponse* response) {
  if (request->name() != "tenants/default/issuances/i1") return NotFound(request->name());
  *response->mutable_issuance() = IssuanceIn(pb::ISSUANCE_STATE_WAITING, 1);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::ListIssuances(grpc::ServerContext*, const pb::ListIssuancesRequest* request,
                                      pb::ListIssuancesResponse* response) {
  for (int i = 0; i < 2; ++i) {
    *response->add_issuances() =
        IssuanceIn(request->state() == pb::ISSUANCE_STATE_UNSPECIFIED ? pb::ISSUANCE_STATE_SUCCEEDED
                                                                      : request->state(),
                   3);
  }
  return grpc::Status::OK;
}

grpc::Status FakeQueue::WatchIssuance(grpc::ServerContext*, const pb::WatchIssuanceRequest*,
                                      grpc::ServerWriter<pb::WatchIssuanceResponse>* writer) {
  std::vector<pb::Issuance> states = {
      IssuanceIn(pb::ISSUANCE_STATE_QUEUED, 0), IssuanceIn(pb::ISSUANCE_STATE_RUNNING, 1),
      IssuanceIn(pb::ISSUANCE_STATE_WAITING, 1), IssuanceIn(pb::ISSUANCE_STATE_RUNNING, 2)};
  states.push_back(pki_->issuance_fails ? IssuanceIn(pb::ISSUANCE_STATE_FAILED, 3)
                                        : IssuanceIn(pb::ISSUANCE_STATE_SUCCEEDED, 2));
  for (const pb::Issuance& state : states) {
    pb::WatchIssuanceResponse response;
    *response.mutable_issuance() = state;
    writer->Write(response);
  }
  return grpc::Status::OK;
}

grpc::Status FakeQueue::CancelIssuance(grpc::ServerContext*, const pb::CancelIssuanceRequest*,
                                       pb::CancelIssuanceResponse* response) {
  *response->mutable_issuance() = IssuanceIn(pb::ISSUANCE_STATE_CANCELLED, 0);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::RetryIssuance(grpc::ServerContext*, const pb::RetryIssuanceRequest*,
                                      pb::RetryIssuanceResponse* response) {
  *response->mutable_issuance() = IssuanceIn(pb::ISSUANCE_STATE_QUEUED, 0);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::StartRenewal(grpc::ServerContext*, const pb::StartRenewalRequest* request,
                                     pb::StartRenewalResponse* response) {
  pki_->renewed = *request;
  *response->mutable_renewal() = RenewalAt(*pki_, 0);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::GetRenewal(grpc::ServerContext*, const pb::GetRenewalRequest* request,
                                   pb::GetRenewalResponse* response) {
  if (request->name() != kRenewalName) return NotFound(request->name());
  *response->mutable_renewal() = RenewalAt(*pki_, 500);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::WatchRenewal(grpc::ServerContext*, const pb::WatchRenewalRequest*,
                                     grpc::ServerWriter<pb::WatchRenewalResponse>* writer) {
  for (const int64_t done : {0, 250, 500, 750, 1000}) {
    pb::WatchRenewalResponse response;
    *response.mutable_renewal() = RenewalAt(*pki_, done);
    writer->Write(response);
    if (pki_->broken_watches > 0) {
      --pki_->broken_watches;
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
    }
  }
  return grpc::Status::OK;
}

grpc::Status FakeQueue::RetryRenewal(grpc::ServerContext*, const pb::RetryRenewalRequest*,
                                     pb::RetryRenewalResponse* response) {
  pki_->failing_renewals = 0;
  *response->mutable_renewal() = RenewalAt(*pki_, 900);
  return grpc::Status::OK;
}

grpc::Status FakeQueue::GetQueue(grpc::ServerContext*, const pb::GetQueueRequest*,
                                 pb::GetQueueResponse* response) {
  response->set_waiting(12);
  response->set_running(50);
  response->set_capacity(10000);
  response->set_workers(50);
  ToProto(absl::Now() - absl::Seconds(61), response->mutable_oldest_time());
  return grpc::Status::OK;
}

grpc::Status FakeQueue::CreateUpstream(grpc::ServerContext*,
                                       const pb::CreateUpstreamRequest* request,
                                       pb::CreateUpstreamResponse* response) {
  const std::string name = absl::StrCat(request->parent(), "/upstreams/", request->upstream_id());
  pki_->upstreams[name] = request->upstream();
  pki_->upstreams[name].set_name(name);
  *response->mutable_upstream() = pki_->upstreams[name];
  return grpc::Status::OK;
}

grpc::Status FakeQueue::ListUpstreams(grpc::ServerContext*, const pb::ListUpstreamsRequest*,
                                      pb::ListUpstreamsResponse* response) {
  for (const auto& [name, upstream] : pki_->upstreams) *response->add_upstreams() = upstream;
  return grpc::Status::OK;
}

grpc::Status FakeQueue::DeleteUpstream(grpc::ServerContext*,
                                       const pb::DeleteUpstreamRequest* request,
                                       pb::DeleteUpstreamResponse*) {
  return pki_->upstreams.erase(request->name()) == 1 ? grpc::Status::OK : NotFound(request->name());
}

std::string FakeOcsp::Answer(const std::string& request) const {
  const auto parsed = pki::ParseOcspRequest(request);
  if (!parsed.ok()) return std::string(pki::OcspErrorResponse(pki::OcspError::kMalformedRequest));
  if (pki_->ocsp_unknown) {
    return std::string(pki::OcspErrorResponse(pki::OcspError::kUnauthorized));
  }
  const auto responder =
      pki::OcspResponder::Create(pki_->root, pki_->root, Algorithm::kEcdsaP256Sha256).value();
  pki::OcspResponder::Answer answer;
  answer.id = parsed->cert_ids[0];
  const auto found = pki_->certificates.find(
      absl::StrCat("tenants/default/certificates/", base::HexEncode(answer.id.serial)));
  if (found != pki_->certificates.end()) {
    answer.kind = pki::OcspResponder::Answer::Kind::kGood;
    if (found->second.has_revocation_time()) {
      answer.kind = pki::OcspResponder::Answer::Kind::kRevoked;
      answer.revocation_time = found->second.revocation_time().seconds();
      answer.reason = static_cast<uint8_t>(found->second.revocation_reason() - 1);
    }
  }
  const int64_t now = absl::ToUnixSeconds(absl::Now()) - (pki_->ocsp_expired ? 1'000'000 : 0);
  std::string nonce(parsed->nonce);
  if (pki_->ocsp_wrong_nonce && !nonce.empty()) nonce[0] ^= 1;
  const std::string tbs = responder->BuildTbs({answer}, nonce, now, now + 3600);
  return responder->Assemble(tbs, pki_->key.SignMessage(tbs).value());
}

grpc::Status FakeOcsp::Respond(grpc::ServerContext*, const ocsp::v1::RespondRequest* request,
                               ocsp::v1::RespondResponse* response) {
  response->set_response(Answer(request->request()));
  return grpc::Status::OK;
}

}  // namespace countersign::cli
