// What a verification found, for people and for programs.
#ifndef COUNTERSIGN_CLI_REPORT_H_
#define COUNTERSIGN_CLI_REPORT_H_

#include <string>
#include <vector>

#include "cli/output.h"
#include "libs/bundle/verify.h"

namespace countersign::cli {

// A verdict and the file that the proof was read from.
struct ProofReport {
  std::string proof_file;
  bundle::Verdict verdict;
};

// Facts that several proofs of one file share are written once.
void PrintReports(const std::string& file, const std::vector<ProofReport>& reports, Output* output);

// {"file":…,"verified":…,"proofs":[{"proof":…,"format":…,"verified":…,"reason":…,…}]}
std::string ReportsJson(const std::string& file, const std::vector<ProofReport>& reports);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_REPORT_H_
