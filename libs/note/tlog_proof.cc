#include "libs/note/tlog_proof.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/proof.h"
#include "libs/note/checkpoint.h"
#include "libs/note/line_reader.h"

namespace countersign::note {
namespace {

constexpr absl::string_view kHeader = "c2sp.org/tlog-proof@v1";
constexpr size_t kMaxHashes = 63;  // a tree has at most 2^63 - 1 leaves

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("malformed tlog-proof: ", why));
}

}  // namespace

absl::StatusOr<TlogProof> ParseTlogProof(absl::string_view text) {
  absl::string_view line;
  if (!ReadLine(&text, &line) || line != kHeader) {
    return Malformed(absl::StrCat("its first line is not ", kHeader));
  }
  TlogProof proof;
  if (!ReadLine(&text, &line)) return Malformed("it has no index line");
  if (absl::ConsumePrefix(&line, "extra ")) {
    absl::StatusOr<std::string> extra = base::Base64Decode(line);
    if (!extra.ok()) return Malformed("its extra data is not canonical base64");
    proof.extra = *std::move(extra);
    if (!ReadLine(&text, &line)) return Malformed("it has no index line");
  }
  if (!absl::ConsumePrefix(&line, "index ")) return Malformed("it has no index line");
  const absl::StatusOr<uint64_t> index = ParseSize(line);
  if (!index.ok()) return Malformed(absl::StrCat("its index is ", index.status().message()));
  proof.index = *index;
  absl::StatusOr<std::vector<merkle::Hash>> hashes = ReadHashLines(kMaxHashes, &text);
  if (!hashes.ok()) return Malformed(hashes.status().message());
  proof.hashes = *std::move(hashes);
  RETURN_IF_ERROR(ParseSignedCheckpoint(text).status());
  proof.checkpoint = std::string(text);
  return proof;
}

std::string FormatTlogProof(const TlogProof& proof) {
  std::string text = absl::StrCat(kHeader, "\n");
  if (proof.extra.has_value()) {
    absl::StrAppend(&text, "extra ", base::Base64Encode(*proof.extra), "\n");
  }
  absl::StrAppend(&text, "index ", proof.index, "\n");
  AppendHashLines(proof.hashes, &text);
  return text + proof.checkpoint;
}

absl::StatusOr<PolicyVerdict> VerifyTlogProof(const TlogProof& proof, const merkle::Hash& leaf_hash,
                                              const Policy& policy) {
  ASSIGN_OR_RETURN(PolicyVerdict verdict, policy.Verify(proof.checkpoint));
  RETURN_IF_ERROR(merkle::VerifyInclusion(proof.index, verdict.checkpoint.size, leaf_hash,
                                          proof.hashes, verdict.checkpoint.root));
  return verdict;
}

}  // namespace countersign::note
