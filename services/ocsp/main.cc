// The OCSP responder.
#include "libs/runtime/main.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/runtime/metrics.h"
#include "libs/storage/database.h"
#include "services/ocsp/change_source.h"
#include "services/ocsp/live_signer.h"
#include "services/ocsp/ocsp_http.h"
#include "services/ocsp/ocsp_metrics.h"
#include "services/ocsp/ocsp_service.h"
#include "services/ocsp/published_files.h"
#include "services/ocsp/resigner.h"
#include "services/ocsp/responder.h"
#include "services/ocsp/responses.h"

namespace ocsp = countersign::ocsp;
namespace runtime = countersign::runtime;
namespace storage = countersign::storage;

namespace {

struct Flags {
  std::string database;
  std::string kek;
  std::string http_path = "/";
  int64_t live_queue = 1024;
};

// Never makes a file: the database is the sign service's.
absl::StatusOr<std::unique_ptr<storage::Database>> OpenDatabase(const std::string& url) {
  absl::string_view path = url;
  if (absl::ConsumePrefix(&path, "sqlite:") && access(std::string(path).c_str(), R_OK) != 0) {
    return absl::UnavailableError(absl::StrCat("the database ", path, " is not there yet"));
  }
  // One for what changes, others for CRLs; a server that is gone has to be noticed soon.
  return storage::Database::Open(url, {.readers = 2,
                                       .min_connections = 1,
                                       .max_connections = 4,
                                       .connect_timeout = absl::Seconds(1),
                                       .busy_timeout = absl::Seconds(1),
                                       .max_attempts = 2});
}

absl::Status SetUp(const Flags& flags, runtime::Server& server) {
  if (flags.live_queue < 1 || flags.live_queue > 1'000'000) {
    return absl::InvalidArgumentError("--live-queue is out of range");
  }
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  ASSIGN_OR_RETURN(countersign::crypto::Kek kek, countersign::crypto::Kek::LoadOrCreate(flags.kek));
  auto* owned_kek = server.Own(std::make_unique<countersign::crypto::Kek>(std::move(kek)));
  auto* metrics = server.Own(std::make_unique<ocsp::OcspMetrics>(server.metrics()));
  auto* responses = server.Own(std::make_unique<ocsp::Responses>());
  auto* responder = server.Own(std::make_unique<ocsp::Responder>(responses));
  auto* live = server.Own(std::make_unique<ocsp::LiveSigner>(ocsp::LiveSigner::Options{
      .responder = responder, .threads = cores, .max_queue = static_cast<int>(flags.live_queue)}));
  auto* resigner = server.Own(std::make_unique<ocsp::Resigner>(
      ocsp::Resigner::Options{.responses = responses, .threads = cores}));
  auto* source = server.Own(std::make_unique<ocsp::ChangeSource>(ocsp::ChangeSource::Options{
      .open = [url = flags.database] { return OpenDatabase(url); },
      .kek = owned_kek,
      .responses = responses,
      .on_query = [metrics](absl::string_view type,
                            absl::Duration took) { metrics->ObserveQuery(type, took); }}));
  auto* files = server.Own(std::make_unique<ocsp::PublishedFiles>(ocsp::PublishedFiles::Options{
      .responses = responses, .source = source, .executor = server.executor()}));
  auto* http = server.Own(
      std::make_unique<ocsp::OcspHttp>(ocsp::OcspHttp::Options{.responder = responder,
                                                               .live = live,
                                                               .files = files,
                                                               .metrics = metrics,
                                                               .path = flags.http_path}));
  auto* service = server.Own(
      std::make_unique<ocsp::OcspService>(ocsp::OcspService::Options{.responses = responses,
                                                                     .responder = responder,
                                                                     .live = live,
                                                                     .source = source,
                                                                     .metrics = metrics}));
  ocsp::ExportState(*responses, *source, *live, *resigner, server.metrics());
  server.AddReadyCheck("responses", [responses] {
    return responses->loaded() ? absl::OkStatus()
                               : absl::UnavailableError("the responses are not loaded yet");
  });
  server.AddService(service, "countersign.ocsp.v1.OcspService");
  server.ServeHttp(
      [http](auto request, auto respond) { http->Handle(std::move(request), std::move(respond)); },
      [http](const auto& request, auto* response) { return http->AnswerFast(request, response); });
  resigner->Start();
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  runtime::Main main({.name = "ocsp",
                      .description = "Answers whether certificates are good, revoked or unknown.",
                      .listen = "127.0.0.1:7107",
                      .http_listen = "127.0.0.1:7307",
                      .admin_listen = "127.0.0.1:7207"});
  Flags flags;
  main.AddString("--database", &flags.database, "the sign service's database, which is only read")
      .Required();
  main.AddString("--kek", &flags.kek,
                 "file of the key that the OCSP signers' keys are sealed under, made when missing")
      .Required();
  main.AddString("--http-path", &flags.http_path, "path of the responder; /ocsp is always another");
  main.AddInt("--live-queue", &flags.live_queue,
              "requests that may wait for a signature; others are told to try later");
  return main.Run(argc, argv, [&](runtime::Server& server) { return SetUp(flags, server); });
}
