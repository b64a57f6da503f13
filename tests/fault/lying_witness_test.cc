// A witness that lies, stalls or answers garbage costs its own cosignature and nothing else.
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/note/cosignature.h"
#include "libs/note/policy.h"
#include "libs/note/signed_note.h"
#include "libs/testing/eventually.h"
#include "libs/testing/temp_dir.h"
#include "tests/fault/public_log.h"
#include "tests/fault/scripted_witness.h"
#include "tests/fault/witness_process.h"

namespace countersign::fault {
namespace {

using testing::Eventually;
using testing::TempDir;

constexpr int64_t kHeadroomKb = 100 << 10;

struct Lie {
  const char* name;
  ScriptedWitness::Script script;
  const char* reason;  // a part of what is said of it
};

// "VmRSS" or "VmHWM" of a process.
int64_t MemoryKb(pid_t pid, const std::string& field) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, field.size() + 1, field + ":") == 0) {
      return std::strtoll(line.c_str() + field.size() + 1, nullptr, 10);
    }
  }
  FAIL("no " << field);
  return 0;
}

// A signature line with any time, which CosignatureSigner would not make.
std::string CosignAt(const ScriptedWitness& witness, uint64_t time, const std::string& text) {
  std::string signature;
  base::AppendU64(&signature, time);
  signature += RequireOk(note::TestKey('X').SignMessage(note::CosignatureMessage(time, text)));
  return note::FormatSignatureLine({witness.signer().name(), witness.signer().key_id(), signature});
}

std::string Changed(const std::string& text, uint64_t more, uint8_t flip) {
  note::Checkpoint checkpoint = RequireOk(note::ParseCheckpoint(text));
  checkpoint.size += more;
  checkpoint.root[0] ^= flip;
  return note::FormatCheckpoint(checkpoint);
}

std::vector<Lie> Lies(const ScriptedWitness& liar) {
  const auto& key = liar.signer();
  std::vector<Lie> lies;
  lies.push_back(
      {"another root",
       [&](Answer& a) { a.Respond(200, liar.Cosign(Changed(a.CheckpointText(), 0, 1))); },
       "no valid cosignature"});
  lies.push_back(
      {"another size",
       [&](Answer& a) { a.Respond(200, liar.Cosign(Changed(a.CheckpointText(), 1, 0))); },
       "no valid cosignature"});
  lies.push_back(
      {"another key",
       [&](Answer& a) {
         const auto other = note::TestWitnessSigner(key.name(), 'Z');
         a.Respond(200, note::FormatSignatureLine({key.name(), key.key_id(),
                                                   other->Sign(a.CheckpointText()).value_or("")}));
       },
       "no valid cosignature"});
  lies.push_back(
      {"another name",
       [&](Answer& a) {
         const auto other = note::TestWitnessSigner("witness.example/other", 'X');
         a.Respond(200, note::FormatSignatureLine({other->name(), other->key_id(),
                                                   other->Sign(a.CheckpointText()).value_or("")}));
       },
       "no valid cosignature"});
  lies.push_back({"no time",
                  [&](Answer& a) { a.Respond(200, CosignAt(liar, 0, a.CheckpointText())); },
                  "impossible time 0"});
  lies.push_back(
      {"a time far ahead",
       [&](Answer& a) { a.Respond(200, CosignAt(liar, 5'000'000'000, a.CheckpointText())); },
       "impossible time 5000000000"});
  lies.push_back({"an earlier cosignature",
                  [earlier = liar.Cosign(note::FormatCheckpoint({kOrigin, 1, {}}))](Answer& a) {
                    a.Respond(200, earlier);
                  },
                  "no valid cosignature"});
  lies.push_back({"no answer", [](Answer& a) { a.WaitForClose(); }, ""});
  lies.push_back({"a byte a second",
                  [](Answer& a) {
                    for (const char c : std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n")) {
                      if (!a.Send({&c, 1}) || !a.Pause(1000)) return;
                    }
                  },
                  ""});
  lies.push_back({"random bytes",
                  [](Answer& a) {
                    std::string bytes(5000, '\0');
                    for (size_t i = 0; i < bytes.size(); ++i) {
                      bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
                    }
                    a.Send(bytes);
                  },
                  ""});
  lies.push_back({"an endless body",
                  [](Answer& a) {
                    a.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    const std::string chunk =
                        absl::StrCat("10000\r\n", std::string(0x10000, 'x'), "\r\n");
                    for (int i = 0; i < 4096 && a.Send(chunk); ++i) {
                    }
                  },
                  "larger"});
  lies.push_back({"a huge body",
                  [](Answer& a) {
                    a.Send("HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n");
                    const std::string part(65536, 'x');
                    for (int i = 0; i < 4096 && a.Send(part); ++i) {
                    }
                  },
                  "larger"});
  lies.push_back({"a body of signature lines",
                  [&](Answer& a) {
                    const std::string line = liar.Cosign("other\n");
                    std::string body;
                    while (body.size() < 8'000'000) body += line;
                    a.Respond(200, body);
                  },
                  ""});
  lies.push_back({"endless headers",
                  [](Answer& a) {
                    a.Send("HTTP/1.1 200 OK\r\n");
                    const std::string field = "X-Again: " + std::string(1000, 'x') + "\r\n";
                    for (int i = 0; i < 100'000 && a.Send(field); ++i) {
                    }
                  },
                  ""});
  lies.push_back({"a body shorter than said",
                  [&](Answer& a) {
                    a.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" +
                           liar.Cosign(a.CheckpointText()));
                  },
                  ""});
  lies.push_back({"a conflict with nonsense",
                  [](Answer& a) { a.Respond(409, "banana\n", "text/x.tlog.size"); }, "409"});
  lies.push_back({"a conflict with a huge size",
                  [](Answer& a) {
                    if (a.is_post()) a.Respond(409, "9223372036854775807\n", "text/x.tlog.size");
                    if (!a.is_post()) a.Respond(404, "");
                  },
                  "9223372036854775807"});
  lies.push_back({"a conflict without end",
                  [](Answer& a) { a.Respond(409, "0\n", "text/x.tlog.size"); }, "409"});
  lies.push_back({"a log of its own making",
                  [](Answer& a) {
                    const auto other = note::TestLogSigner(kOrigin, 'Q');
                    const auto note = note::SignNote(
                        note::FormatCheckpoint({kOrigin, 1'000'000, {}}), {other.get()});
                    if (a.is_post()) a.Respond(409, "1000000\n", "text/x.tlog.size");
                    if (!a.is_post()) a.Respond(200, note.value_or(""));
                  },
                  "1000000"});
  lies.push_back({"a redirect",
                  [&](Answer& a) {
                    a.Send(absl::StrCat("HTTP/1.1 307 Over There\r\nLocation: ", liar.url(),
                                        "/add-checkpoint\r\nContent-Length: 0\r\n\r\n"));
                  },
                  "307"});
  lies.push_back({"nothing at all", [](Answer& a) { a.Respond(200, ""); }, ""});
  return lies;
}

TEST_CASE("A witness that lies, stalls or talks nonsense costs its own cosignature only") {
  TempDir dir;
  const std::string binary = testing::Runfile("services/ledger/countersign-ledger");
  const std::string witness = testing::Runfile("services/witness/countersign-witness");
  const std::string data = dir.path() + "/data";
  const std::string log_vkey = MakeLogKey(binary, data);
  const note::NoteVerifier key = LogKey(data);
  const WitnessProcess first(witness, "first", dir.path() + "/first", log_vkey);
  const WitnessProcess second(witness, "second", dir.path() + "/second", log_vkey);
  ScriptedWitness liar("liar");
  const std::string witnesses =
      absl::StrCat("log ", log_vkey, "\n", first.PolicyLine(), second.PolicyLine(), "witness liar ",
                   liar.signer().vkey(), " ", liar.url(), "\n");
  const auto flags = [&](const std::string& group, const std::string& timeout) {
    const std::string policy =
        absl::StrCat(witnesses, "group all ", group, " first second liar\nquorum all\n");
    RequireOk(base::WriteFileAtomically(dir.path() + "/policy", policy));
    std::vector<std::string> given = Flags(data);
    given.push_back("--witness-policy=" + dir.path() + "/policy");
    given.push_back("--cosign-timeout=" + timeout);
    return given;
  };
  int appended = 0;

  for (const Lie& lie : Lies(liar)) {
    INFO(lie.name);
    liar.Say(lie.script);
    {
      const auto ledger = ChildProcess::StartService(binary, flags("2", "30s"));
      INFO(ledger->output());
      auto stub = Connect(ledger->grpc_address());
      const int64_t before_kb = MemoryKb(ledger->pid(), "VmRSS");
      for (int i = 0; i < 5; ++i) {
        RequireOk(
            Append(stub.get(), {absl::StrCat("entry ", ++appended)}, pb::WAIT_LEVEL_COSIGNED));
      }
      CHECK(Eventually([&] { return liar.requests() > 0; }));
      std::string note;
      const note::Checkpoint published = GetCheckpoint(stub.get(), key, true, &note);
      CHECK(published.size == static_cast<uint64_t>(appended));
      const note::Policy policy =
          RequireOk(note::Policy::Parse(RequireOk(base::ReadFile(dir.path() + "/policy"))));
      // Check refuses a note with a known key's signature that does not verify.
      const note::PolicyVerdict verdict = RequireOk(policy.Check(note));
      CHECK(verdict.quorum);
      for (const note::PolicyCosignature& cosignature : verdict.cosignatures) {
        CHECK(cosignature.witness != "liar");
      }
      CHECK(MemoryKb(ledger->pid(), "VmHWM") < before_kb + kHeadroomKb);
      stub.reset();
      CHECK(ledger->Stop() == 0);
    }
    {
      // Where it is needed, nothing is published, and who waits learns whose fault that is.
      const auto ledger = ChildProcess::StartService(binary, flags("all", "500ms"));
      INFO(ledger->output());
      auto stub = Connect(ledger->grpc_address());
      const note::Checkpoint before = GetCheckpoint(stub.get(), key, true);
      const std::string entry = absl::StrCat("entry ", ++appended);
      absl::Status refused;
      CHECK(Eventually([&] {
        refused = Append(stub.get(), {entry}, pb::WAIT_LEVEL_COSIGNED).status();
        REQUIRE(absl::IsDeadlineExceeded(refused));
        return absl::StrContains(refused.message(), "liar (") &&
               absl::StrContains(refused.message(), lie.reason);
      }));
      INFO(refused);
      CHECK(GetCheckpoint(stub.get(), key, true).size == before.size);
      stub.reset();
      CHECK(ledger->Stop() == 0);
    }
  }

  // It may come to its senses.
  liar.Say([&](Answer& a) { a.Respond(200, liar.Cosign(a.CheckpointText())); });
  const auto ledger = ChildProcess::StartService(binary, flags("all", "30s"));
  auto stub = Connect(ledger->grpc_address());
  RequireOk(Append(stub.get(), {absl::StrCat("entry ", ++appended)}, pb::WAIT_LEVEL_COSIGNED));
  stub.reset();
  CHECK(ledger->Stop() == 0);
  const PublicLog log = RequireOk(ReadPublicLog(data + "/public", key));
  REQUIRE(log.entries.size() == static_cast<size_t>(appended));
  for (int i = 0; i < appended; ++i) {
    CHECK(log.entries[static_cast<size_t>(i)] == absl::StrCat("entry ", i + 1));
  }
}

}  // namespace
}  // namespace countersign::fault
