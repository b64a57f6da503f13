// What C2SP tlog-witness asks of add-checkpoint and of the monitoring path, as requests and the
// answers that they must get. The specification has no vectors; these are published as
// testdata/tlog_witness.json, for other witnesses too.
#ifndef COUNTERSIGN_SERVICES_WITNESS_CONFORMANCE_SUITE_H_
#define COUNTERSIGN_SERVICES_WITNESS_CONFORMANCE_SUITE_H_

#include <string>
#include <vector>

namespace countersign::witness {

// A request, and what its answer must be.
struct ConformanceStep {
  std::string shows;
  std::string method = "POST";
  std::string path = "/add-checkpoint";  // behind the submission or the monitoring prefix
  std::string body = "";
  int status = 200;
  // Of a 409.
  std::string content_type = "";
  std::string answer = "";
  // Of a 200: the note text that every line of the answer to a POST cosigns as of now, and that the
  // answer to a GET bears.
  std::string text = "";
  // Of a GET's 200: the verifier keys whose signatures it bears, once each and besides the
  // witness's, and no others.
  std::vector<std::string> signed_by = {};
};

// Steps in order, on a witness that watches `logs` and has cosigned nothing.
struct ConformanceScenario {
  struct Log {
    std::string origin;
    std::vector<std::string> vkeys;
  };
  std::string name;
  std::vector<Log> logs;
  std::vector<ConformanceStep> steps;
};

// The same in every run.
std::vector<ConformanceScenario> ConformanceSuite();

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_CONFORMANCE_SUITE_H_
