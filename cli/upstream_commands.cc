#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::IssuanceService::Stub;

struct UpstreamOptions {
  std::string name;
  std::string acme;
  std::string contact;
  std::string ca_file;
  std::string eab_key_id;
  std::string eab_key_file;
  std::string countersign;
  std::string authority;
};

std::string KindText(const pb::Upstream& upstream) {
  if (upstream.has_acme()) return absl::StrCat("ACME, ", upstream.acme().directory_url());
  return absl::StrCat("Countersign, ", upstream.countersign().address(), ", ",
                      upstream.countersign().authority());
}

absl::Status Add(Context& context, const UpstreamOptions& options) {
  if (options.acme.empty() == options.countersign.empty()) {
    return absl::InvalidArgumentError(
        "name one of: --acme URL, --countersign HOST:PORT with --authority NAME");
  }
  pb::CreateUpstreamRequest request;
  request.set_parent(context.TenantName());
  request.set_upstream_id(options.name);
  if (!options.acme.empty()) {
    pb::AcmeUpstream& acme = *request.mutable_upstream()->mutable_acme();
    acme.set_directory_url(options.acme);
    acme.set_contact(options.contact);
    if (!options.ca_file.empty()) {
      ASSIGN_OR_RETURN(*acme.mutable_ca_pem(), base::ReadFile(options.ca_file));
    }
    acme.set_eab_key_id(options.eab_key_id);
    if (!options.eab_key_file.empty()) {
      ASSIGN_OR_RETURN(const std::string key, base::ReadFile(options.eab_key_file));
      acme.set_eab_hmac_key(std::string(absl::StripAsciiWhitespace(key)));
    }
  } else {
    pb::CountersignUpstream& other = *request.mutable_upstream()->mutable_countersign();
    other.set_address(options.countersign);
    other.set_authority(context.ResourceName("authorities", options.authority));
    if (options.authority.empty()) {
      return absl::InvalidArgumentError(
          "--countersign needs --authority, the authority's name there");
    }
  }
  pb::CreateUpstreamResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::CreateUpstream, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  context.output.Headline(true, absl::StrCat("Added upstream ", options.name));
  context.output.Field("Upstream", response.upstream().name(), Tone::kStrong);
  context.output.Field("Kind", KindText(response.upstream()));
  return absl::OkStatus();
}

absl::Status List(Context& context, const UpstreamOptions& /*options*/) {
  pb::ListUpstreamsRequest request;
  request.set_parent(context.TenantName());
  pb::ListUpstreamsResponse all;
  do {
    pb::ListUpstreamsResponse page;
    RETURN_IF_ERROR(CallSign(context, &Stub::ListUpstreams, request, &page));
    for (pb::Upstream& upstream : *page.mutable_upstreams()) {
      *all.add_upstreams() = std::move(upstream);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (all.upstreams().empty()) {
    context.output.Line(
        "No upstream authorities. Add one: countersign upstream add NAME --acme URL");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"UPSTREAM", "KIND", "ADDED"}};
  for (const pb::Upstream& upstream : all.upstreams()) {
    rows.push_back(
        {LastPart(upstream.name()), KindText(upstream), TimeText(upstream.create_time())});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::Status Remove(Context& context, const UpstreamOptions& options) {
  pb::DeleteUpstreamRequest request;
  request.set_name(context.ResourceName("upstreams", options.name));
  pb::DeleteUpstreamResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::DeleteUpstream, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(true, absl::StrCat("Removed upstream ", LastPart(request.name())));
  }
  return absl::OkStatus();
}

}  // namespace

void AddUpstreamCommands(CLI::App& app, Context& context) {
  CLI::App* group =
      app.add_subcommand("upstream", "Authorities elsewhere that certificates are got from");
  group->require_subcommand(1);
  const auto options = std::make_shared<UpstreamOptions>();
  CLI::App* add = AddGroupCommand(*group, context, options, "add", "Add one", Add);
  add->add_option("NAME", options->name, "Its id: 1 to 63 of a-z, 0-9 and '-'")->required();
  add->add_option("--acme", options->acme, "An ACME server: URL of its directory");
  add->add_option("--contact", options->contact, "Contact of the ACME account, \"mailto:…\"");
  add->add_option("--acme-ca", options->ca_file,
                  "Roots of the ACME server's own certificate, PEM; the system's when not given");
  add->add_option("--eab-key-id", options->eab_key_id, "Key id of an external account binding");
  add->add_option("--eab-key-file", options->eab_key_file, "File with its MAC key, base64url");
  add->add_option("--countersign", options->countersign,
                  "Another Countersign: HOST:PORT of its sign service");
  add->add_option("--authority", options->authority, "The authority there");
  AddGroupCommand(*group, context, options, "list", "List them", List);
  AddGroupCommand(*group, context, options, "remove", "Remove one", Remove)
      ->add_option("UPSTREAM", options->name, "Its short or full resource name")
      ->required();
}

}  // namespace countersign::cli
