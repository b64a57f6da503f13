// The certificate services and a responder in the test's own process: one authority, an inventory
// in memory, a queue whose requests do as they are told.
#ifndef COUNTERSIGN_CLI_FAKE_CERTIFICATES_H_
#define COUNTERSIGN_CLI_FAKE_CERTIFICATES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "countersign/ocsp/v1/ocsp.grpc.pb.h"
#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"

namespace countersign::cli {

// What the services share. The root's key signs everything.
struct FakePki {
  FakePki();

  // A certificate for the CSR's key and names, in the inventory.
  sign::v1::Certificate Issue(const sign::v1::IssueCertificateRequest& request);

  crypto::PrivateKey key;
  pki::Certificate root;
  std::map<std::string, sign::v1::Authority> authorities;
  std::map<std::string, sign::v1::Certificate> certificates;
  std::map<std::string, sign::v1::Upstream> upstreams;

  // The last requests, for what the command line makes of its options.
  sign::v1::CreateAuthorityRequest created;
  sign::v1::ImportAuthorityRequest imported;
  sign::v1::UpdateAuthorityRequest updated;
  sign::v1::IssueCertificateRequest issued;
  sign::v1::ListCertificatesRequest listed;
  sign::v1::BatchRevokeCertificatesRequest revoked;
  sign::v1::BulkUpdateCertificatesRequest changed;
  sign::v1::EnqueueIssuanceRequest enqueued;
  sign::v1::StartRenewalRequest renewed;

  // What goes wrong, from now on.
  bool wrong_key = false;         // certificates are for another key than asked for
  grpc::Status refusal;           // of IssueCertificate and EnqueueIssuance
  int failing_renewals = 0;       // of 1,000
  int broken_watches = 0;         // streams that end with UNAVAILABLE after their first answer
  bool issuance_fails = false;    // at the last of three tries
  bool ocsp_unknown = false;      // unauthorized for all
  bool ocsp_wrong_nonce = false;  // another nonce than asked with
  bool ocsp_expired = false;      // answers of the past
};

class FakeAuthorities : public sign::v1::AuthorityService::Service {
 public:
  explicit FakeAuthorities(FakePki* pki) : pki_(pki) {}

  grpc::Status CreateAuthority(grpc::ServerContext*, const sign::v1::CreateAuthorityRequest*,
                               sign::v1::CreateAuthorityResponse*) override;
  grpc::Status ImportAuthority(grpc::ServerContext*, const sign::v1::ImportAuthorityRequest*,
                               sign::v1::ImportAuthorityResponse*) override;
  grpc::Status GetAuthority(grpc::ServerContext*, const sign::v1::GetAuthorityRequest*,
                            sign::v1::GetAuthorityResponse*) override;
  grpc::Status ListAuthorities(grpc::ServerContext*, const sign::v1::ListAuthoritiesRequest*,
                               sign::v1::ListAuthoritiesResponse*) override;
  grpc::Status UpdateAuthority(grpc::ServerContext*, const sign::v1::UpdateAuthorityRequest*,
                               sign::v1::UpdateAuthorityResponse*) override;
  grpc::Status CrossSignAuthority(grpc::ServerContext*, const sign::v1::CrossSignAuthorityRequest*,
                                  sign::v1::CrossSignAuthorityResponse*) override;
  grpc::Status ExportAuthority(grpc::ServerContext*, const sign::v1::ExportAuthorityRequest*,
                               sign::v1::ExportAuthorityResponse*) override;
  grpc::Status RotateOcspSigner(grpc::ServerContext*, const sign::v1::RotateOcspSignerRequest*,
                                sign::v1::RotateOcspSignerResponse*) override;
  grpc::Status GetCrl(grpc::ServerContext*, const sign::v1::GetCrlRequest*,
                      sign::v1::GetCrlResponse*) override;
  grpc::Status PublishCrls(grpc::ServerContext*, const sign::v1::PublishCrlsRequest*,
                           sign::v1::PublishCrlsResponse*) override;

 private:
  FakePki* const pki_;
};

class FakeInventory : public sign::v1::CertificateService::Service {
 public:
  explicit FakeInventory(FakePki* pki) : pki_(pki) {}

  grpc::Status IssueCertificate(grpc::ServerContext*, const sign::v1::IssueCertificateRequest*,
                                sign::v1::IssueCertificateResponse*) override;
  grpc::Status GetCertificate(grpc::ServerContext*, const sign::v1::GetCertificateRequest*,
                              sign::v1::GetCertificateResponse*) override;
  // A certificate a page.
  grpc::Status ListCertificates(grpc::ServerContext*, const sign::v1::ListCertificatesRequest*,
                                sign::v1::ListCertificatesResponse*) override;
  grpc::Status RevokeCertificate(grpc::ServerContext*, const sign::v1::RevokeCertificateRequest*,
                                 sign::v1::RevokeCertificateResponse*) override;
  grpc::Status BatchRevokeCertificates(grpc::ServerContext*,
                                       const sign::v1::BatchRevokeCertificatesRequest*,
                                       sign::v1::BatchRevokeCertificatesResponse*) override;
  grpc::Status ReleaseCertificate(grpc::ServerContext*, const sign::v1::ReleaseCertificateRequest*,
                                  sign::v1::ReleaseCertificateResponse*) override;
  grpc::Status BulkUpdateCertificates(grpc::ServerContext*,
                                      const sign::v1::BulkUpdateCertificatesRequest*,
                                      sign::v1::BulkUpdateCertificatesResponse*) override;
  grpc::Status ImportCertificates(grpc::ServerContext*, const sign::v1::ImportCertificatesRequest*,
                                  sign::v1::ImportCertificatesResponse*) override;

 private:
  FakePki* const pki_;
};

class FakeQueue : public sign::v1::IssuanceService::Service {
 public:
  explicit FakeQueue(FakePki* pki) : pki_(pki) {}

  grpc::Status EnqueueIssuance(grpc::ServerContext*, const sign::v1::EnqueueIssuanceRequest*,
                               sign::v1::EnqueueIssuanceResponse*) override;
  grpc::Status GetIssuance(grpc::ServerContext*, const sign::v1::GetIssuanceRequest*,
                           sign::v1::GetIssuanceResponse*) override;
  grpc::Status ListIssuances(grpc::ServerContext*, const sign::v1::ListIssuancesRequest*,
                             sign::v1::ListIssuancesResponse*) override;
  grpc::Status WatchIssuance(grpc::ServerContext*, const sign::v1::WatchIssuanceRequest*,
                             grpc::ServerWriter<sign::v1::WatchIssuanceResponse>*) override;
  grpc::Status CancelIssuance(grpc::ServerContext*, const sign::v1::CancelIssuanceRequest*,
                              sign::v1::CancelIssuanceResponse*) override;
  grpc::Status RetryIssuance(grpc::ServerContext*, const sign::v1::RetryIssuanceRequest*,
                             sign::v1::RetryIssuanceResponse*) override;
  grpc::Status StartRenewal(grpc::ServerContext*, const sign::v1::StartRenewalRequest*,
                            sign::v1::StartRenewalResponse*) override;
  grpc::Status GetRenewal(grpc::ServerContext*, const sign::v1::GetRenewalRequest*,
                          sign::v1::GetRenewalResponse*) override;
  grpc::Status WatchRenewal(grpc::ServerContext*, const sign::v1::WatchRenewalRequest*,
                            grpc::ServerWriter<sign::v1::WatchRenewalResponse>*) override;
  grpc::Status RetryRenewal(grpc::ServerContext*, const sign::v1::RetryRenewalRequest*,
                            sign::v1::RetryRenewalResponse*) override;
  grpc::Status GetQueue(grpc::ServerContext*, const sign::v1::GetQueueRequest*,
                        sign::v1::GetQueueResponse*) override;
  grpc::Status CreateUpstream(grpc::ServerContext*, const sign::v1::CreateUpstreamRequest*,
                              sign::v1::CreateUpstreamResponse*) override;
  grpc::Status ListUpstreams(grpc::ServerContext*, const sign::v1::ListUpstreamsRequest*,
                             sign::v1::ListUpstreamsResponse*) override;
  grpc::Status DeleteUpstream(grpc::ServerContext*, const sign::v1::DeleteUpstreamRequest*,
                              sign::v1::DeleteUpstreamResponse*) override;

 private:
  FakePki* const pki_;
};

class FakeOcsp : public ocsp::v1::OcspService::Service {
 public:
  explicit FakeOcsp(FakePki* pki) : pki_(pki) {}

  // The DER response to a DER request: live, by the root itself.
  std::string Answer(const std::string& request) const;

  grpc::Status Respond(grpc::ServerContext*, const ocsp::v1::RespondRequest*,
                       ocsp::v1::RespondResponse*) override;

 private:
  FakePki* const pki_;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_FAKE_CERTIFICATES_H_
