#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/yubikey_commands.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/piv/attestation.h"
#include "libs/pki/certificate.h"
#include "libs/pki/pem.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;

struct AttestOptions {
  SharedAgentOptions agent;
  std::string slot;
  std::string out;
  std::vector<std::string> files;
  std::vector<std::string> roots;
};

absl::Status Attest(Context& context, const AttestOptions& options) {
  pb::AttestKeyRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), SlotResourceName(options.slot));
  pb::AttestKeyResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_ATTEST,
                                &pb::CardService::Stub::AttestKey, request, &response));
  const uint32_t serial = response.facts().serial_number();
  if (serial != 0 && CardOfSlot(request.name()) != absl::StrCat("cards/", serial)) {
    return absl::InternalError(absl::StrCat("the attestation is of card ", serial, ", not of ",
                                            CardOfSlot(request.name()), "; nothing is written"));
  }
  const std::string pem = absl::StrCat(CertificatePem(response.certificate()),
                                       CertificatePem(response.card_certificate()));
  if (!options.out.empty()) RETURN_IF_ERROR(base::WriteFileDurably(options.out, pem));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  if (!options.out.empty()) {
    context.output.Headline(true, absl::StrCat("Wrote ", options.out));
    ShowFacts(response.facts(), &context.output);
    return absl::OkStatus();
  }
  // The certificates alone are for the next program.
  context.output.out() << pem << std::flush;
  Output aside(context.output.err(), context.output.err(), /*color=*/false);
  ShowFacts(response.facts(), &aside);
  return absl::OkStatus();
}

// The files' certificates, DER, in order.
absl::StatusOr<std::vector<std::string>> ReadCertificates(const std::vector<std::string>& files) {
  std::vector<std::string> certificates;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(std::string bytes, base::ReadFile(file));
    const size_t before = certificates.size();
    if (absl::StrContains(bytes, "-----BEGIN ")) {
      ASSIGN_OR_RETURN(const auto blocks, pki::ParsePem(bytes));
      for (const pki::PemBlock& block : blocks) {
        if (block.label == "CERTIFICATE") certificates.push_back(block.der);
      }
    } else if (!bytes.empty()) {
      certificates.push_back(std::move(bytes));
    }
    if (certificates.size() == before) {
      return absl::InvalidArgumentError(absl::StrCat(file, " holds no certificate"));
    }
  }
  return certificates;
}

pb::AttestationFacts Facts(const piv::Attestation& attestation) {
  pb::AttestationFacts facts;
  facts.set_spki(attestation.spki_der);
  facts.set_serial_number(attestation.serial);
  facts.set_firmware_version(attestation.firmware.ToString());
  // The contract numbers the policies as the card does.
  facts.set_pin_policy(static_cast<pb::PinPolicy>(attestation.pin_policy));
  facts.set_touch_policy(static_cast<pb::TouchPolicy>(attestation.touch_policy));
  facts.set_form_factor(std::string(piv::FormFactorName(attestation.form_factor)));
  facts.set_fips(attestation.fips);
  if (attestation.slot != piv::Slot{}) facts.set_slot(piv::SlotName(attestation.slot));
  return facts;
}

// FailedPrecondition alone is an answer; what does not parse or is missing leaves it open.
absl::StatusOr<int> VerifyFiles(Context& context, const AttestOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<std::string> chain, ReadCertificates(options.files));
  ASSIGN_OR_RETURN(const std::vector<std::string> roots, ReadCertificates(options.roots));
  ASSIGN_OR_RETURN(const piv::Attestation claimed, piv::ParseAttestation(chain[0]));
  const absl::StatusOr<piv::Attestation> verified =
      piv::VerifyAttestation(chain[0], absl::MakeConstSpan(chain).subspan(1), roots, absl::Now());
  if (!verified.ok() && !absl::IsFailedPrecondition(verified.status())) return verified.status();
  pb::VerifyAttestationResponse response;
  response.set_verified(verified.ok());
  if (!verified.ok()) response.set_detail(std::string(verified.status().message()));
  *response.mutable_facts() = Facts(verified.ok() ? *verified : claimed);
  if (context.json) {
    context.PrintJson(response);
  } else if (verified.ok()) {
    context.output.Headline(true, "Verified: the card made this key");
    ShowFacts(response.facts(), &context.output);
  } else {
    context.output.Headline(false, "NOT VERIFIED");
    context.output.Field("Because", response.detail(), Tone::kBad);
  }
  return verified.ok() ? kExitOk : kExitNotVerified;
}

}  // namespace

void AddYubikeyAttestCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent) {
  const auto options = std::make_shared<AttestOptions>();
  options->agent = agent;
  CLI::App* attest =
      AddGroupCommand(group, context, options, "attest",
                      "Have a card say by certificate that it made the key in a slot", Attest);
  attest->add_option("SLOT", options->slot, "SERIAL/SLOT")->required();
  attest->add_option("-o,--out", options->out, "File for the two certificates, PEM");

  CLI::App* verify = AddVerdictCommand(
      group, context, options, "verify-attestation",
      "Check an attestation offline; exit code 0 verified, 1 not verified, 2 undecided",
      VerifyFiles);
  verify
      ->add_option("FILE", options->files,
                   "The attestation, then the card's certificate and others up to the root")
      ->required();
  verify->add_option("--root", options->roots, "File with roots to trust (repeatable)")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace countersign::cli
