#include "cli/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/bytes.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

using bundle::Verdict;
using bundle::WitnessFact;
using nlohmann::ordered_json;

absl::Time Earliest(const std::vector<WitnessFact>& witnesses) {
  absl::Time earliest = absl::InfiniteFuture();
  for (const WitnessFact& witness : witnesses) earliest = std::min(earliest, witness.time);
  return earliest;
}

// Only facts that were established are shown, so a failed check shows how far it came.
void PrintFacts(const Verdict& verdict, Output* output) {
  if (!verdict.signer_name.empty()) {
    output->Field("Signed by", verdict.signer_name, Tone::kStrong);
  }
  if (!verdict.signer_fingerprint.empty()) {
    output->Field("Key", absl::StrCat(verdict.algorithm, ", sha256:", verdict.signer_fingerprint));
  }
  if (!verdict.payload_type.empty()) output->Field("Statement", verdict.payload_type);
  if (!verdict.digest.empty()) {
    output->Field("Digest", absl::StrCat(crypto::DigestName(verdict.digest_algorithm), ":",
                                         base::HexEncode(verdict.digest)));
  }
  if (verdict.tree_size > 0) {
    output->Field("Log", absl::StrCat(verdict.log_origin, ", entry ", verdict.log_index,
                                      " in a tree of ", verdict.tree_size));
  }
  if (!verdict.witnesses.empty()) {
    output->Field("Public by",
                  absl::StrCat(FormatUtc(Earliest(verdict.witnesses)), ", the first cosignature"));
  }
  const char* label = "Witnesses";
  for (const WitnessFact& witness : verdict.witnesses) {
    const std::string name = witness.name == witness.key_name
                                 ? witness.name
                                 : absl::StrCat(witness.name, " (", witness.key_name, ")");
    output->Field(label, absl::StrCat(name, ", ", FormatUtc(witness.time)));
    label = "";
  }
  if (!verdict.quorum.empty()) {
    output->Field("Quorum", absl::StrCat(verdict.quorum, verdict.verified ? ": met" : ": not met"));
  }
}

// Whether both proofs show the same, so that one table of facts speaks for both.
bool SameFacts(const Verdict& a, const Verdict& b) {
  return a.verified == b.verified && a.reason == b.reason && a.detail == b.detail &&
         a.signer_fingerprint == b.signer_fingerprint && a.digest == b.digest &&
         a.log_origin == b.log_origin && a.log_index == b.log_index && a.tree_size == b.tree_size &&
         a.witnesses.size() == b.witnesses.size();
}

ordered_json VerdictJson(const ProofReport& report) {
  const Verdict& verdict = report.verdict;
  ordered_json witnesses = ordered_json::array();
  for (const WitnessFact& witness : verdict.witnesses) {
    witnesses.push_back(
        {{"name", witness.name},
         {"keyName", witness.key_name},
         {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", witness.time, absl::UTCTimeZone())}});
  }
  return {
      {"proof", report.proof_file},
      {"format", verdict.format},
      {"verified", verdict.verified},
      {"reason", std::string(bundle::ReasonCode(verdict.reason))},
      {"detail", verdict.detail},
      {"signer", {{"name", verdict.signer_name}, {"fingerprint", verdict.signer_fingerprint}}},
      {"algorithm", verdict.algorithm},
      {"digest",
       {{"algorithm", std::string(crypto::DigestName(verdict.digest_algorithm))},
        {"hex", base::HexEncode(verdict.digest)}}},
      {"payloadType", verdict.payload_type},
      {"log",
       {{"origin", verdict.log_origin},
        {"index", verdict.log_index},
        {"treeSize", verdict.tree_size},
        {"rootHash", base::HexEncode(verdict.root_hash)}}},
      {"witnesses", std::move(witnesses)},
      {"quorum", verdict.quorum},
  };
}

}  // namespace

void PrintReports(const std::string& file, const std::vector<ProofReport>& reports,
                  Output* output) {
  const bool same = std::all_of(reports.begin(), reports.end(), [&](const ProofReport& report) {
    return SameFacts(report.verdict, reports[0].verdict);
  });
  for (size_t i = 0; i < (same ? 1 : reports.size()); ++i) {
    const Verdict& verdict = reports[i].verdict;
    if (i > 0) output->Line();
    output->Headline(verdict.verified,
                     absl::StrCat(verdict.verified ? "Verified: " : "NOT verified: ", file));
    if (!verdict.verified) {
      output->Field("Because", verdict.detail, Tone::kBad);
      output->Field("Reason", bundle::ReasonCode(verdict.reason));
    }
    PrintFacts(verdict, output);
    for (size_t j = i; j < (same ? reports.size() : i + 1); ++j) {
      output->Field(j == i ? "Proof" : "", reports[j].proof_file, Tone::kQuiet);
    }
  }
}

std::string ReportsJson(const std::string& file, const std::vector<ProofReport>& reports) {
  ordered_json proofs = ordered_json::array();
  bool verified = !reports.empty();
  for (const ProofReport& report : reports) {
    verified = verified && report.verdict.verified;
    proofs.push_back(VerdictJson(report));
  }
  const ordered_json root = {{"file", file}, {"verified", verified}, {"proofs", std::move(proofs)}};
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace countersign::cli
