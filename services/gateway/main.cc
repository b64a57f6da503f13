#include "libs/runtime/main.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/status_macros.h"
#include "libs/http/message.h"
#include "libs/runtime/channel.h"
#include "services/gateway/gateway.h"

namespace {

using countersign::gateway::Gateway;
using countersign::gateway::GatewayOptions;

absl::Status Connect(const std::string& address, const countersign::runtime::ClientTls& tls,
                     std::shared_ptr<grpc::Channel>* channel) {
  if (address.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(*channel, countersign::runtime::MakeChannel(address, tls));
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  countersign::runtime::Main main({.name = "gateway",
                                   .description = "HTTP and JSON in front of the suite's services",
                                   .http_listen = "127.0.0.1:8080",
                                   .admin_listen = "127.0.0.1:7200"});
  std::string sign = "127.0.0.1:7101";
  std::string verify = "127.0.0.1:7102";
  std::string ledger = "127.0.0.1:7103";
  std::string ocsp = "127.0.0.1:7107";
  std::vector<std::string> witnesses;
  countersign::runtime::ClientTls tls;
  GatewayOptions options;
  options.ledger_http = "http://127.0.0.1:7303";
  options.ocsp_http = "http://127.0.0.1:7307";
  options.sign_http = "http://127.0.0.1:7301";
  main.AddString("--sign", &sign, "address of the sign service; empty for none");
  main.AddString("--verify", &verify, "address of the verify service; empty for none");
  main.AddString("--ledger", &ledger, "address of the ledger; empty for none");
  main.AddString("--ocsp", &ocsp, "address of the ocsp service; empty for none");
  main.AddString("--ledger-http", &options.ledger_http,
                 "URL below which the ledger serves /checkpoint and /tile; empty for none");
  main.AddString("--ocsp-http", &options.ocsp_http,
                 "URL below which ocsp serves /ocsp, /crl and /issuer; empty for none");
  main.AddString("--sign-http", &options.sign_http,
                 "URL below which sign answers ACME challenges; empty for none");
  main.AddStringList("--witness-http", &witnesses,
                     "NAME=URL of a witness to pass requests on to; repeatable");
  main.AddDuration("--call-timeout", &options.call_timeout, "the longest a backend may take");
  main.AddClientTls(&tls);
  return main.Run(argc, argv, [&](countersign::runtime::Server& server) -> absl::Status {
    RETURN_IF_ERROR(Connect(sign, tls, &options.sign));
    RETURN_IF_ERROR(Connect(verify, tls, &options.verify));
    RETURN_IF_ERROR(Connect(ledger, tls, &options.ledger));
    RETURN_IF_ERROR(Connect(ocsp, tls, &options.ocsp));
    for (const std::string& text : witnesses) {
      ASSIGN_OR_RETURN(auto witness, countersign::gateway::ParseNamedUrl(text));
      options.witnesses.push_back(std::move(witness));
    }
    options.metrics = server.metrics();
    ASSIGN_OR_RETURN(auto created, Gateway::Create(options));
    const Gateway* const gateway = server.Own(std::move(created));
    server.ServeHttp(
        [gateway](countersign::http::Request request, countersign::http::Responder respond) {
          gateway->Handle(std::move(request), std::move(respond));
        });
    return absl::OkStatus();
  });
}
