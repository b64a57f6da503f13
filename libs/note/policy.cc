#include "libs/note/policy.h"

#include <initializer_list>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/note/cosignature.h"
#include "libs/note/signed_note.h"

namespace countersign::note {
namespace {

constexpr size_t kMaxOfEachKind = 1024;
constexpr absl::string_view kNone = "none";

using Words = std::vector<absl::string_view>;

absl::Status Invalid(absl::string_view why) { return absl::InvalidArgumentError(why); }

bool IsAllowedOctet(char c) {
  const uint8_t octet = static_cast<uint8_t>(c);
  return octet == '\t' || octet == '\n' || (octet >= 0x20 && octet != 0x7f);
}

// Collects a policy line by line, and what the lines so far allow the next one to say.
class Parser {
 public:
  absl::Status AddLine(const Words& words) {
    if (words[0] == "log") return AddLog(words);
    if (words[0] == "witness") return AddWitness(words);
    if (words[0] == "group") return AddGroup(words);
    if (words[0] == "quorum") return SetQuorum(words);
    return Invalid("it begins with none of log, witness, group and quorum");
  }

  std::vector<PolicyLog> logs;
  std::vector<PolicyWitness> witnesses;
  std::vector<PolicyGroup> groups;
  std::string quorum;

 private:
  absl::Status AddLog(const Words& words) {
    if (words.size() < 2 || words.size() > 3) return Invalid("it is not: log <vkey> [<url>]");
    if (logs.size() == kMaxOfEachKind) return Invalid("there are too many logs");
    ASSIGN_OR_RETURN(NoteVerifier key, ParseVkey(words[1]));
    if (!log_keys_.insert(key.public_key().spki_der()).second) {
      return Invalid("another log has the same key");
    }
    logs.push_back({std::move(key), std::string(words.size() == 3 ? words[2] : "")});
    return absl::OkStatus();
  }

  absl::Status AddWitness(const Words& words) {
    if (words.size() < 3 || words.size() > 4) {
      return Invalid("it is not: witness <name> <vkey> [<url>]");
    }
    if (witnesses.size() == kMaxOfEachKind) return Invalid("there are too many witnesses");
    RETURN_IF_ERROR(Define(words[1]));
    ASSIGN_OR_RETURN(NoteVerifier key, ParseVkey(words[2]));
    if (key.type() != SignatureType::kCosignature) {
      return Invalid("a witness needs a verifier key of type 0x04, cosignature/v1");
    }
    if (!witness_keys_.insert(key.public_key().spki_der()).second) {
      return Invalid("another witness has the same key");
    }
    witnesses.push_back(
        {std::string(words[1]), std::move(key), std::string(words.size() == 4 ? words[3] : "")});
    return absl::OkStatus();
  }

  absl::Status AddGroup(const Words& words) {
    if (words.size() < 4) return Invalid("it is not: group <name> all|any|<k> <member>...");
    if (groups.size() == kMaxOfEachKind) return Invalid("there are too many groups");
    PolicyGroup group;
    group.name = std::string(words[1]);
    for (size_t i = 3; i < words.size(); ++i) {
      RETURN_IF_ERROR(CheckDefined(words[i]));
      if (!members_.insert(std::string(words[i])).second) {
        return Invalid(absl::StrCat(words[i], " is a member already"));
      }
      group.members.emplace_back(words[i]);
    }
    RETURN_IF_ERROR(Define(words[1]));
    if (words[2] == "all") {
      group.threshold = group.members.size();
    } else if (words[2] == "any") {
      group.threshold = 1;
    } else {
      const absl::StatusOr<uint64_t> threshold = ParseSize(words[2]);
      if (!threshold.ok() || *threshold < 1 || *threshold > group.members.size()) {
        return Invalid("the threshold is not all, any or a number from 1 to that of the members");
      }
      group.threshold = *threshold;
    }
    groups.push_back(std::move(group));
    return absl::OkStatus();
  }

  absl::Status SetQuorum(const Words& words) {
    if (words.size() != 2) return Invalid("it is not: quorum <name>|none");
    if (!quorum.empty()) return Invalid("there is a quorum already");
    if (words[1] != kNone) RETURN_IF_ERROR(CheckDefined(words[1]));
    quorum = std::string(words[1]);
    return absl::OkStatus();
  }

  absl::Status Define(absl::string_view name) {
    if (name == kNone) return Invalid("the name none is taken");
    if (!names_.insert(std::string(name)).second) {
      return Invalid(absl::StrCat("the name ", name, " is defined twice"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckDefined(absl::string_view name) const {
    if (names_.count(std::string(name)) == 0) {
      return Invalid(absl::StrCat("the name ", name, " is not defined above"));
    }
    return absl::OkStatus();
  }

  std::set<std::string> names_;         // of witnesses and groups
  std::set<std::string> members_;       // of any group
  std::set<std::string> log_keys_;      // SPKI
  std::set<std::string> witness_keys_;  // SPKI
};

std::string Line(std::initializer_list<absl::string_view> words, absl::string_view url) {
  std::string line = absl::StrJoin(words, " ");
  if (!url.empty()) absl::StrAppend(&line, " ", url);
  return line + "\n";
}

std::string FormatThreshold(const PolicyGroup& group) {
  if (group.threshold == group.members.size()) return "all";
  return group.threshold == 1 ? "any" : std::to_string(group.threshold);
}

}  // namespace

absl::StatusOr<Policy> Policy::Parse(absl::string_view text) {
  for (char c : text) {
    if (!IsAllowedOctet(c)) {
      return Invalid("the policy has a control character other than tab and newline");
    }
  }
  Parser parser;
  size_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const Words words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.empty() || words[0][0] == '#') continue;
    if (absl::Status status = parser.AddLine(words); !status.ok()) {
      return Invalid(absl::StrCat("line ", number, " of the policy: ", status.message()));
    }
  }
  if (parser.quorum.empty()) return Invalid("the policy has no quorum line");
  Policy policy;
  policy.logs_ = std::move(parser.logs);
  policy.witnesses_ = std::move(parser.witnesses);
  policy.groups_ = std::move(parser.groups);
  policy.quorum_ = std::move(parser.quorum);
  return policy;
}

std::string Policy::Format() const {
  std::string text;
  for (const PolicyLog& log : logs_) text += Line({"log", log.key.vkey()}, log.url);
  for (const PolicyWitness& witness : witnesses_) {
    text += Line({"witness", witness.name, witness.key.vkey()}, witness.url);
  }
  for (const PolicyGroup& group : groups_) {
    text +=
        Line({"group", group.name, FormatThreshold(group), absl::StrJoin(group.members, " ")}, "");
  }
  return text + Line({"quorum", quorum_}, "");
}

bool Policy::Satisfied(const std::set<std::string, std::less<>>& witnesses) const {
  if (quorum_ == kNone) return true;
  std::set<std::string, std::less<>> met;
  for (const PolicyWitness& witness : witnesses_) {
    if (witnesses.count(witness.name) != 0) met.insert(witness.name);
  }
  // A group's members stand above it.
  for (const PolicyGroup& group : groups_) {
    size_t count = 0;
    for (const std::string& member : group.members) count += met.count(member);
    if (count >= group.threshold) met.insert(group.name);
  }
  return met.count(quorum_) != 0;
}

absl::StatusOr<PolicyVerdict> Policy::Check(absl::string_view note) const {
  ASSIGN_OR_RETURN(const SignedNote parsed, ParseNote(note));
  PolicyVerdict verdict;
  ASSIGN_OR_RETURN(verdict.checkpoint, ParseCheckpoint(parsed.text));

  // The keys to try: first the origin's, then the witnesses'.
  std::vector<const PolicyLog*> logs;
  std::vector<NoteVerifier> verifiers;
  for (const PolicyLog& log : logs_) {
    if (log.key.name() != verdict.checkpoint.origin) continue;
    logs.push_back(&log);
    verifiers.push_back(log.key);
  }
  if (logs.empty()) {
    return absl::NotFoundError(absl::StrCat("the policy has no log ", verdict.checkpoint.origin));
  }
  for (const PolicyWitness& witness : witnesses_) verifiers.push_back(witness.key);
  ASSIGN_OR_RETURN(const std::vector<VerifiedSignature> verified, VerifyNote(parsed, verifiers));

  std::map<size_t, size_t> place;  // of a witness's cosignature in the verdict
  std::set<std::string, std::less<>> names;
  for (const VerifiedSignature& match : verified) {
    if (match.verifier < logs.size()) {
      if (verdict.log == nullptr) verdict.log = logs[match.verifier];
      continue;
    }
    const PolicyWitness& witness = witnesses_[match.verifier - logs.size()];
    const uint64_t timestamp =
        CosignatureTimestamp(parsed.signatures[match.signature].signature).value_or(0);
    const auto [known, added] = place.emplace(match.verifier, verdict.cosignatures.size());
    if (added) {
      verdict.cosignatures.push_back({witness.name, timestamp});
      names.insert(witness.name);
    } else if (uint64_t& latest = verdict.cosignatures[known->second].timestamp;
               latest < timestamp) {
      latest = timestamp;
    }
  }
  if (verdict.log == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("the checkpoint is not signed by the log ", verdict.checkpoint.origin));
  }
  verdict.quorum = Satisfied(names);
  return verdict;
}

absl::StatusOr<PolicyVerdict> Policy::Verify(absl::string_view note) const {
  ASSIGN_OR_RETURN(PolicyVerdict verdict, Check(note));
  if (!verdict.quorum) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the checkpoint's ", verdict.cosignatures.size(), " cosignatures of the policy's ",
        witnesses_.size(), " witnesses do not meet the quorum ", quorum_));
  }
  return verdict;
}

}  // namespace countersign::note
