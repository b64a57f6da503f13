// The witness over HTTP against the suite of conformance_suite.h.
//
// With COUNTERSIGN_WRITE_VECTORS=FILE set, the suite is written there as JSON too: how
// testdata/tlog_witness.json is made.
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/manual_clock.h"
#include "libs/base/thread_pool.h"
#include "libs/http/client.h"
#include "libs/http/server.h"
#include "libs/note/signed_note.h"
#include "libs/note/utf8.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "nlohmann/json.hpp"
#include "services/witness/conformance_suite.h"
#include "services/witness/testing.h"
#include "services/witness/witness_http.h"

namespace countersign::witness {
namespace {

using testing::RequireOk;

// The witness that a scenario asks for. Its clock advances by a second a step, so that a
// cosignature's time tells when it was made.
struct Subject {
  explicit Subject(const ConformanceScenario& scenario) {
    for (const auto& log : scenario.logs) RequireOk(witness->AddLog(log.origin, log.vkeys));
  }

  testing::TempDir dir;
  base::ManualClock clock{absl::FromUnixSeconds(1'790'000'000)};
  std::unique_ptr<Witness> witness = OpenWitness(OpenDatabase(dir.path()), &clock);
  note::NoteVerifier key = RequireOk(note::ParseVkey(witness->vkey()));
  base::ThreadPool executor{2};
  std::unique_ptr<http::Server> server = RequireOk(
      http::Server::Listen({.address = "127.0.0.1:0"}, WitnessHandler(witness.get(), &executor)));
  http::Client client;
  std::string latest_cosignatures;
};

void CheckCosignatures(const std::string& text, const http::Response& response, Subject* subject) {
  const auto lines = RequireOk(note::ParseSignatureLines(response.body_view()));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].name == subject->key.name());
  CHECK(lines[0].key_id == subject->key.key_id());
  CHECK(subject->key.Verify(text, lines[0].signature));
  CHECK(note::CosignatureTimestamp(lines[0].signature) ==
        static_cast<uint64_t>(absl::ToUnixSeconds(subject->clock.Now())));
  subject->latest_cosignatures = std::string(response.body_view());
}

// The log's signatures in the order of the note, then what was answered to the log last.
void CheckServed(const ConformanceStep& step, const http::Response& response,
                 const Subject& subject) {
  const note::SignedNote note = RequireOk(note::ParseNote(response.body_view()));
  CHECK(note.text == step.text);
  REQUIRE(note.signatures.size() == step.signed_by.size() + 1);
  for (size_t i = 0; i < step.signed_by.size(); ++i) {
    const note::NoteVerifier key = RequireOk(note::ParseVkey(step.signed_by[i]));
    CHECK(note.signatures[i].name == key.name());
    CHECK(note.signatures[i].key_id == key.key_id());
    CHECK(key.Verify(note.text, note.signatures[i].signature));
  }
  CHECK(note::FormatSignatureLine(note.signatures.back()) == subject.latest_cosignatures);
}

TEST_CASE("The witness answers as C2SP tlog-witness says") {
  for (const ConformanceScenario& scenario : ConformanceSuite()) {
    INFO(scenario.name);
    Subject subject(scenario);
    for (const ConformanceStep& step : scenario.steps) {
      INFO(step.shows);
      subject.clock.Advance(absl::Seconds(1));
      const http::Response response = RequireOk(
          subject.client.Call({.method = step.method,
                               .url = absl::StrCat("http://", subject.server->address(), step.path),
                               .body = step.body}));
      CAPTURE(response.body_view());
      REQUIRE(response.status == step.status);
      CHECK(response.headers.Get("Content-Type") ==
            (step.content_type.empty() ? "text/plain; charset=utf-8" : step.content_type));
      CHECK(response.headers.Get("Access-Control-Allow-Origin") == "*");
      if (step.status == 409) {
        CHECK(response.body_view() == step.answer);
      } else if (step.status == 200 && step.method == "POST") {
        CheckCosignatures(step.text, response, &subject);
      } else if (step.status == 200) {
        CheckServed(step, response, subject);
      }
    }
  }
}

nlohmann::ordered_json ToJson(const ConformanceStep& step) {
  nlohmann::ordered_json request = {{"method", step.method}, {"path", step.path}};
  if (note::IsUtf8(step.body)) {
    if (!step.body.empty() || step.method == "POST") request["body"] = step.body;
  } else {
    request["body_base64"] = base::Base64Encode(step.body);
  }
  nlohmann::ordered_json answer = {{"status", step.status}};
  if (!step.content_type.empty()) answer["content_type"] = step.content_type;
  if (!step.answer.empty()) answer["body"] = step.answer;
  if (!step.text.empty()) answer[step.method == "POST" ? "cosigns" : "checkpoint"] = step.text;
  if (!step.signed_by.empty()) answer["signed_by"] = step.signed_by;
  return {{"shows", step.shows}, {"request", std::move(request)}, {"answer", std::move(answer)}};
}

// The suite as it is published.
std::string SuiteJson() {
  nlohmann::ordered_json root;
  root["specification"] = "https://c2sp.org/tlog-witness";
  root["how"] = {
      "For each scenario start a witness that has cosigned nothing, make it watch the logs, and "
      "send the requests in order.",
      "answer.body, answer.content_type: exactly these.",
      "answer.cosigns: the body is one or more signature lines; each line of the witness's keys "
      "verifies over this text, as of now.",
      "answer.checkpoint: the body is a signed note of this text. Under it are one signature each "
      "of the keys in signed_by and those of the witness that were returned last, all of which "
      "verify, and no others."};
  root["scenarios"] = nlohmann::ordered_json::array();
  for (const ConformanceScenario& scenario : ConformanceSuite()) {
    nlohmann::ordered_json logs = nlohmann::ordered_json::array();
    for (const ConformanceScenario::Log& log : scenario.logs) {
      logs.push_back({{"origin", log.origin}, {"vkeys", log.vkeys}});
    }
    nlohmann::ordered_json steps = nlohmann::ordered_json::array();
    for (const ConformanceStep& step : scenario.steps) steps.push_back(ToJson(step));
    root["scenarios"].push_back(
        {{"name", scenario.name}, {"logs", std::move(logs)}, {"steps", std::move(steps)}});
  }
  return root.dump(1) + "\n";
}

TEST_CASE("The published suite is the one that the witness passes") {
  const std::string json = SuiteJson();
  if (const char* path = std::getenv("COUNTERSIGN_WRITE_VECTORS"); path != nullptr) {
    RequireOk(base::WriteFileAtomically(path, json));
  }
  CHECK(RequireOk(base::ReadFile(
            testing::Runfile("services/witness/testdata/tlog_witness.json"))) == json);
}

}  // namespace
}  // namespace countersign::witness
