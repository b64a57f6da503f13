// The sign service.
#include "libs/runtime/main.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/http/router.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/metrics.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/certificates_setup.h"
#include "services/sign/certificates/issuance_setup.h"
#include "services/sign/grpc_ledger_client.h"
#include "services/sign/key_ring.h"
#include "services/sign/key_store.h"
#include "services/sign/sign_service.h"
#include "services/sign/signing.h"
#include "services/sign/yubikey_setup.h"

int main(int argc, char** argv) {
  using namespace countersign;  // NOLINT: a wiring diagram

  runtime::Main main({.name = "sign",
                      .description =
                          "Keeps keys, signs, encrypts and decrypts with them, and issues and "
                          "revokes certificates.",
                      .listen = "127.0.0.1:7101",
                      .http_listen = "127.0.0.1:7301",
                      .admin_listen = "127.0.0.1:7201"});
  std::string data;
  std::string kek_file;
  std::string database_url;
  std::string ledger = "127.0.0.1:7103";
  std::string default_log = "tenants/default/logs/main";
  absl::Duration ledger_timeout = absl::Seconds(30);
  runtime::ClientTls peer_tls;
  main.AddString("--data", &data, "folder of the keys; one process at a time").Required();
  main.AddString("--kek", &kek_file,
                 "file of the key-encryption key, made when missing (default: DATA/kek)");
  main.AddString("--database", &database_url, "database URL (default: sqlite:DATA/keys.db)");
  main.AddString("--ledger", &ledger, "address of the ledger service; empty for none");
  main.AddString("--log", &default_log, "the log to append to when a request names none");
  main.AddDuration("--ledger-timeout", &ledger_timeout, "the longest wait for the ledger");
  main.AddClientTls(&peer_tls);
  sign::YubikeyFlags yubikey_flags;
  sign::AddYubikeyFlags(&main, &yubikey_flags);
  sign::CertificateFlags certificate_flags;
  sign::AddCertificateFlags(&main, &certificate_flags);
  sign::IssuanceFlags issuance_flags;
  sign::AddIssuanceFlags(&main, &issuance_flags);

  return main.Run(argc, argv, [&](runtime::Server& server) -> absl::Status {
    RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
    ASSIGN_OR_RETURN(auto lock, base::DirectoryLock::Acquire(data));
    server.Own(std::move(lock));

    if (kek_file.empty()) kek_file = absl::StrCat(data, "/kek");
    if (database_url.empty()) database_url = absl::StrCat("sqlite:", data, "/keys.db");
    // One made anew would not fit the keys that are there.
    if (const std::string keys = data + "/keys.db";
        base::FileExists(keys) && !base::FileExists(kek_file)) {
      return absl::FailedPreconditionError(
          absl::StrCat(kek_file, " is missing but ", keys, " is there: restore it"));
    }
    ASSIGN_OR_RETURN(crypto::Kek kek, crypto::Kek::LoadOrCreate(kek_file));
    ASSIGN_OR_RETURN(sign::CardClient* const cards,
                     sign::AddCardClient(yubikey_flags, data, kek, peer_tls, &server));
    ASSIGN_OR_RETURN(auto database, storage::Database::Open(database_url));
    ASSIGN_OR_RETURN(auto opened, sign::KeyStore::Open(std::move(database), std::move(kek),
                                                       base::Clock::System(), cards));
    auto* store = server.Own(std::move(opened));
    auto* keys = server.Own(std::make_unique<sign::KeyRing>(store, server.executor()));

    sign::LedgerClient* ledger_client = nullptr;
    if (!ledger.empty()) {
      ASSIGN_OR_RETURN(auto channel, runtime::MakeChannel(ledger, peer_tls));
      ledger_client =
          server.Own(std::make_unique<sign::GrpcLedgerClient>(std::move(channel), ledger_timeout));
    }
    auto* signing = server.Own(
        std::make_unique<sign::Signing>(sign::Signing::Options{.keys = keys,
                                                               .store = store,
                                                               .ledger = ledger_client,
                                                               .executor = server.executor(),
                                                               .default_log = default_log}));
    auto* service =
        server.Own(std::make_unique<sign::SignService>(store, keys, signing, server.executor()));
    server.AddService(service, "countersign.sign.v1.SignService");

    ASSIGN_OR_RETURN(const sign::Certificates certificates,
                     sign::AddCertificates(certificate_flags,
                                           {.keys = store,
                                            .key_ring = keys,
                                            .signing = ledger_client != nullptr ? signing : nullptr,
                                            .data = data,
                                            .peer_tls = peer_tls},
                                           &server));

    // The store has taken the other one over.
    ASSIGN_OR_RETURN(crypto::Kek account_kek, crypto::Kek::LoadOrCreate(kek_file));
    http::Router router;
    RETURN_IF_ERROR(sign::AddIssuance(issuance_flags,
                                      {.database = store->database(),
                                       .certificates = certificates.store,
                                       .issuing = certificates.issuing,
                                       .kek = std::move(account_kek),
                                       .peer_tls = peer_tls},
                                      &server, &router));
    server.ServeHttp(router.AsHandler());

    runtime::Metrics* metrics = server.metrics();
    metrics->AddCounterFunction("countersign_sign_key_cache_hits_total",
                                "Uses of a key that was in memory.",
                                [keys] { return static_cast<double>(keys->stats().hits); });
    metrics->AddCounterFunction("countersign_sign_key_cache_misses_total",
                                "Uses of a key that had to be read from the database.",
                                [keys] { return static_cast<double>(keys->stats().misses); });
    metrics->AddCounterFunction("countersign_sign_key_cache_evictions_total",
                                "Keys dropped from memory to make room.",
                                [keys] { return static_cast<double>(keys->stats().evictions); });
    return absl::OkStatus();
  });
}
