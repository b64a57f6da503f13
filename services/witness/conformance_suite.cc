#include "services/witness/conformance_suite.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "libs/base/bytes.h"
#include "libs/merkle/hash.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "services/witness/testing.h"

namespace countersign::witness {
namespace {

using note::AddCheckpointRequest;
using Log = ConformanceScenario::Log;
using Step = ConformanceStep;
using Steps = std::vector<ConformanceStep>;

constexpr char kOtherOrigin[] = "example.com/not-watched";

std::string Text(const TestLog& log, uint64_t size) {
  return note::FormatCheckpoint({log.origin(), size, log.Root(size)});
}

// A request for the note `text`, signed by `signers`, as the first checkpoint.
AddCheckpointRequest First(const std::string& text,
                           const std::vector<const note::NoteSigner*>& signers) {
  AddCheckpointRequest request;
  request.checkpoint = testing::RequireOk(note::SignNote(text, signers));
  return request;
}

Step Add(std::string shows, const AddCheckpointRequest& request, int status) {
  return {.shows = std::move(shows), .body = note::FormatAddCheckpoint(request), .status = status};
}

Step Cosigned(std::string shows, const AddCheckpointRequest& request) {
  Step step = Add(std::move(shows), request, 200);
  step.text = testing::RequireOk(note::ParseNote(request.checkpoint)).text;
  return step;
}

Step Conflict(std::string shows, const AddCheckpointRequest& request, uint64_t latest) {
  Step step = Add(std::move(shows), request, 409);
  step.content_type = "text/x.tlog.size";
  step.answer = absl::StrCat(latest, "\n");
  return step;
}

Step Get(std::string shows, std::string path, int status = 404) {
  return {.shows = std::move(shows), .method = "GET", .path = std::move(path), .status = status};
}

Step Served(std::string shows, const std::string& text, std::vector<std::string> signed_by) {
  Step step = Get(std::move(shows), absl::StrCat("/", kOriginHash, "/checkpoint"), 200);
  step.text = text;
  step.signed_by = std::move(signed_by);
  return step;
}

// A consistency proof between trees too large to be made, and the roots that it fits.
struct MadeUpTrees {
  merkle::Hash first_root;
  merkle::Hash second_root;
  std::vector<merkle::Hash> proof;
};

// RFC 9162 section 2.1.4.2 with a new hash wherever it takes one from the proof. `first` is not a
// power of two.
MadeUpTrees MakeUpTrees(uint64_t first, uint64_t second) {
  MadeUpTrees trees;
  const auto next = [&trees] {
    trees.proof.push_back(merkle::LeafHash(absl::StrCat(trees.proof.size())));
    return trees.proof.back();
  };
  uint64_t fn = first - 1;
  uint64_t sn = second - 1;
  for (; (fn & 1) != 0; sn >>= 1) fn >>= 1;
  trees.first_root = trees.second_root = next();
  for (; sn != 0; sn >>= 1) {
    const merkle::Hash hash = next();
    if ((fn & 1) != 0 || fn == sn) {
      trees.first_root = merkle::NodeHash(hash, trees.first_root);
      trees.second_root = merkle::NodeHash(hash, trees.second_root);
      for (; fn != 0 && (fn & 1) == 0; sn >>= 1) fn >>= 1;
    } else {
      trees.second_root = merkle::NodeHash(trees.second_root, hash);
    }
    fn >>= 1;
  }
  return trees;
}

// `lines` signature lines of keys that nobody knows, with `bytes` bytes of signature each.
std::string UnknownSignatures(int lines, size_t bytes) {
  std::string out;
  for (int i = 0; i < lines; ++i) {
    out += note::FormatSignatureLine(
        {absl::StrCat("unknown.example/", i), static_cast<uint32_t>(i), std::string(bytes, 'u')});
  }
  return out;
}

const TestLog& TheLog() {
  static const TestLog* const log = new TestLog();
  return *log;
}

ConformanceScenario OneLog(std::string name, Steps steps) {
  return {std::move(name), {{TheLog().origin(), {TheLog().vkey()}}}, std::move(steps)};
}

ConformanceScenario Malformed() {
  const TestLog& log = TheLog();
  const std::string good = note::FormatAddCheckpoint(log.Request(0, 5));
  const std::string checkpoint = log.Checkpoint(5);
  const std::string hash = merkle::EncodeHash(log.Root(1)) + "\n";
  const std::string signature_line = checkpoint.substr(checkpoint.find("\n\n") + 2);
  const auto edited = [&good](absl::string_view from, absl::string_view to) {
    return absl::StrReplaceAll(good, {{from, to}});
  };
  Steps steps;
  const auto refuse = [&steps](std::string shows, std::string body) {
    steps.push_back({.shows = std::move(shows), .body = std::move(body), .status = 400});
  };
  refuse("no body", "");
  refuse("not an old size line", "nonsense");
  refuse("an old size line alone", "old 0\n");
  refuse("no checkpoint", "old 0\n\n");
  refuse("no empty line", "old 0\n" + checkpoint);
  refuse("two empty lines", "old 0\n\n\n" + checkpoint);
  refuse("no old size line", checkpoint);
  refuse("an empty line before the old size", "\n" + good);
  refuse("an old size with a leading zero", edited("old 0\n", "old 00\n"));
  refuse("a negative old size", edited("old 0\n", "old -1\n"));
  refuse("an old size with a sign", edited("old 0\n", "old +0\n"));
  refuse("a hexadecimal old size", edited("old 0\n", "old 0x0\n"));
  refuse("an old size that is none", edited("old 0\n", "old \n"));
  refuse("two spaces behind old", edited("old 0\n", "old  0\n"));
  refuse("a space behind the old size", edited("old 0\n", "old 0 \n"));
  refuse("Old", edited("old 0\n", "Old 0\n"));
  refuse("an old size of 2^64", edited("old 0\n", "old 18446744073709551616\n"));
  refuse("lines that end with CR LF", edited("\n", "\r\n"));
  refuse("a proof line that is not base64", edited("old 0\n\n", "old 0\n!\n\n"));
  refuse("a proof line of 31 bytes",
         edited("old 0\n\n", "old 0\n" + base::Base64Encode(std::string(31, 'x')) + "\n\n"));
  refuse("a proof line of 33 bytes",
         edited("old 0\n\n", "old 0\n" + base::Base64Encode(std::string(33, 'x')) + "\n\n"));
  refuse("a proof line without padding",
         edited("old 0\n\n", "old 0\n" + hash.substr(0, 43) + "\n\n"));
  refuse("a proof line with a space behind it",
         edited("old 0\n\n", "old 0\n" + hash.substr(0, 44) + " \n\n"));
  std::string proof;
  for (int i = 0; i < 64; ++i) proof += hash;
  refuse("64 proof lines", edited("old 0\n\n", "old 0\n" + proof + "\n"));
  refuse("a checkpoint without its signature", "old 0\n\n" + Text(log, 5));
  refuse("a checkpoint without a signature line", "old 0\n\n" + Text(log, 5) + "\n");
  refuse("a last line without a newline", good.substr(0, good.size() - 1));
  refuse("an empty line behind the signatures", good + "\n");
  refuse("a signature line with a hyphen", edited("\xe2\x80\x94", "-"));
  refuse("a signature line without a signature", good + "\xe2\x80\x94 example.com/x\n");
  refuse("a signature of four bytes", good + "\xe2\x80\x94 example.com/x AAAAAA==\n");
  refuse("a signature that is not base64", good + "\xe2\x80\x94 example.com/x !\n");
  refuse("a key name with a plus sign", good + "\xe2\x80\x94 example.com+x AAAAAAAA\n");
  refuse("a control character", edited("behind", "beh\tind"));
  refuse("what is not UTF-8", edited("behind", "beh\xffind"));

  // Signed, so that nothing but the text is at fault.
  const auto signer = note::TestLogSigner(log.origin());
  const std::string root = merkle::EncodeHash(log.Root(5));
  const auto refuse_text = [&](std::string shows, const std::string& text) {
    steps.push_back(Add(std::move(shows), First(text, {signer.get()}), 400));
  };
  const std::string origin = log.origin();
  refuse_text("a text without a root hash", origin + "\n5\n");
  refuse_text("a text without a size", origin + "\n" + root + "\n");
  refuse_text("an empty origin", "\n5\n" + root + "\n");
  refuse_text("a size with a leading zero", origin + "\n05\n" + root + "\n");
  refuse_text("a negative size", origin + "\n-5\n" + root + "\n");
  refuse_text("a size that is not a number", origin + "\nfive\n" + root + "\n");
  refuse_text("a root hash of 31 bytes",
              origin + "\n5\n" + base::Base64Encode(std::string(31, 'x')) + "\n");
  refuse_text("a root hash in hexadecimal",
              origin + "\n5\n" + base::HexEncode(base::AsBytes(log.Root(5))) + "\n");
  refuse_text("an empty extension line", origin + "\n5\n" + root + "\n\nmore\n");
  steps.push_back(Get("nothing of it was cosigned", absl::StrCat("/", kOriginHash, "/checkpoint")));
  steps.push_back({.shows = "the request that the malformed ones were made from",
                   .body = good,
                   .status = 200,
                   .text = Text(log, 5)});
  return OneLog("Malformed requests are answered 400", std::move(steps));
}

ConformanceScenario UnknownLogs() {
  const TestLog& log = TheLog();
  const auto signer = note::TestLogSigner(log.origin());
  const TestLog other(kOtherOrigin);
  return OneLog(
      "An origin that is not watched is answered 404",
      {Add("another log", other.Request(0, 1), 404),
       Add("another log's checkpoint under a watched log's signature",
           First(Text(other, 1), {signer.get()}), 404),
       Add("an origin with a space behind it",
           First(note::FormatCheckpoint({log.origin() + " ", 1, log.Root(1)}), {signer.get()}),
           404),
       Cosigned("the watched log", log.Request(0, 1))});
}

ConformanceScenario Signatures() {
  const TestLog& log = TheLog();
  const AddCheckpointRequest good = log.Request(0, 5);
  const note::SignedNote parsed = testing::RequireOk(note::ParseNote(good.checkpoint));
  const note::NoteSignature signature = parsed.signatures[0];
  const auto request = [&](std::vector<note::NoteSignature> signatures) {
    AddCheckpointRequest changed;
    changed.checkpoint = note::FormatNote({parsed.text, std::move(signatures)});
    return changed;
  };
  note::NoteSignature wrong = signature;
  wrong.signature[0] ^= 1;
  note::NoteSignature cut = signature;
  cut.signature.pop_back();
  note::NoteSignature renamed = signature;
  renamed.name = kOtherOrigin;
  note::NoteSignature renumbered = signature;
  renumbered.key_id ^= 1;
  AddCheckpointRequest of_another_text;
  of_another_text.checkpoint = note::FormatNote({Text(log, 6), {signature}});
  return OneLog(
      "A checkpoint that no trusted key has signed, or of which such a signature is wrong, is "
      "answered 403",
      {Add("another key under the log's name", TestLog(log.origin(), "", 'M').Request(0, 5), 403),
       Add("a wrong signature", request({wrong}), 403),
       Add("a signature that is cut short", request({cut}), 403),
       Add("the signature of another checkpoint", of_another_text, 403),
       Add("the trusted key's id under another name", request({renamed}), 403),
       Add("the trusted key's name with another id", request({renumbered}), 403),
       Add("a right signature, then a wrong one", request({signature, wrong}), 403),
       Add("a wrong signature, then a right one", request({wrong, signature}), 403),
       Get("nothing of it was cosigned", absl::StrCat("/", kOriginHash, "/checkpoint")),
       Cosigned("the right signature among those of unknown keys",
                request({renamed, renumbered, signature})),
       Served("only the verified signature is kept", parsed.text, {log.vkey()})});
}

ConformanceScenario ManySignatures() {
  const TestLog& log = TheLog();
  AddCheckpointRequest sixteen = log.Request(0, 1);
  sixteen.checkpoint += UnknownSignatures(15, 64);
  AddCheckpointRequest large = log.Request(1, 2);
  large.checkpoint += UnknownSignatures(15, 5000);
  AddCheckpointRequest grease = log.Request(2, 3);
  grease.checkpoint = absl::StrReplaceAll(grease.checkpoint, {{"\n\n",
                                                               "\n\n\xe2\x80\x94 gr\xc3\xa9"
                                                               "ase.example//? AAAAAP8=\n"}});
  AddCheckpointRequest one_byte = log.Request(3, 4);
  one_byte.checkpoint += "\xe2\x80\x94 " + log.origin() + " AAAAAAA=\n";
  AddCheckpointRequest twice = log.Request(4, 5);
  twice.checkpoint += twice.checkpoint.substr(twice.checkpoint.find("\n\n") + 2);
  return OneLog(
      "Up to 16 signatures are read, and those of unknown keys ignored",
      {Cosigned("16 signatures", sixteen), Cosigned("16 signatures of up to 5,000 bytes", large),
       Cosigned("an unknown key's line first, its name not ASCII", grease),
       Cosigned("a one-byte signature of an unknown key of the log's name", one_byte),
       Cosigned("the same right signature twice", twice),
       Served("none of the others is kept", Text(log, 5), {log.vkey()})});
}

ConformanceScenario TwoKeys() {
  const auto old_key = note::TestLogSigner(kOrigin, 'A');
  const auto new_key = note::TestLogSigner(kOrigin, 'B');
  const auto named_otherwise = note::TestLogSigner("keys.example.com/sofa", 'C');
  const TestLog& log = TheLog();
  const auto request = [&](uint64_t old_size, uint64_t size,
                           const std::vector<const note::NoteSigner*>& signers) {
    AddCheckpointRequest made = log.Request(old_size, size);
    made.checkpoint = First(Text(log, size), signers).checkpoint;
    return made;
  };
  AddCheckpointRequest half_wrong = request(3, 4, {old_key.get(), new_key.get()});
  note::SignedNote note = testing::RequireOk(note::ParseNote(half_wrong.checkpoint));
  note.signatures[1].signature[0] ^= 1;
  half_wrong.checkpoint = note::FormatNote(note);
  return {"Any of a log's keys is enough",
          {{kOrigin, {old_key->vkey(), new_key->vkey(), named_otherwise->vkey()}}},
          {Cosigned("the first key", request(0, 1, {old_key.get()})),
           Served("with its signature", Text(log, 1), {old_key->vkey()}),
           Cosigned("the second key", request(1, 2, {new_key.get()})),
           Served("with its signature", Text(log, 2), {new_key->vkey()}),
           Cosigned("both, and one whose name is not the origin",
                    request(2, 3, {new_key.get(), named_otherwise.get(), old_key.get()})),
           Served("with all three", Text(log, 3),
                  {new_key->vkey(), named_otherwise->vkey(), old_key->vkey()}),
           Add("one right and one wrong", half_wrong, 403),
           Add("a key that is none of the log's", log.Request(3, 4), 403)}};
}

ConformanceScenario OldSizes() {
  const TestLog& log = TheLog();
  AddCheckpointRequest above = log.Request(0, 5);
  above.old_size = 6;
  AddCheckpointRequest shrunk = log.Request(0, 4);
  shrunk.old_size = 5;
  AddCheckpointRequest unproven = log.Request(4, 7);
  unproven.proof.clear();
  AddCheckpointRequest huge = log.Request(0, 5);
  huge.old_size = INT64_MAX;
  AddCheckpointRequest old_without_proof = log.Request(0, 9);
  return OneLog(
      "An old size above the checkpoint's is answered 400, one that is not the latest cosigned 409",
      {Add("above the size, nothing cosigned", above, 400), Add("far above the size", huge, 400),
       Conflict("not zero while nothing is cosigned", log.Request(3, 5), 0),
       Cosigned("the first checkpoint", log.Request(0, 5)),
       Conflict("zero, of the same checkpoint", log.Request(0, 5), 5),
       Conflict("zero, to learn the latest size", old_without_proof, 5),
       Conflict("below the latest", log.Request(4, 7), 5),
       Conflict("above the latest", log.Request(6, 7), 5),
       Conflict("a checkpoint that was cosigned before", log.Request(0, 3), 5),
       Conflict("told before the proof is looked at", unproven, 5),
       Conflict("told to a fork as well", TestLog(kOrigin, "fork").Request(4, 7), 5),
       Add("above the size, though the latest", shrunk, 400),
       Cosigned("from the latest size", log.Request(5, 7)),
       Conflict("from the size before", log.Request(5, 7), 7)});
}

ConformanceScenario EmptyTree() {
  const TestLog& log = TheLog();
  AddCheckpointRequest wrong_root;
  wrong_root.checkpoint = log.Sign(0, merkle::LeafHash("x"));
  AddCheckpointRequest with_proof = log.Request(0, 0);
  with_proof.proof.push_back(log.Root(1));
  return OneLog("The empty tree has one root only",
                {Add("another root", wrong_root, 422), Add("a proof", with_proof, 422),
                 Get("nothing of it was cosigned", absl::StrCat("/", kOriginHash, "/checkpoint")),
                 Cosigned("the right root", log.Request(0, 0)),
                 Served("the empty tree", Text(log, 0), {log.vkey()}),
                 Add("another root thereafter", wrong_root, 422),
                 Cosigned("the empty tree again", log.Request(0, 0)),
                 Cosigned("the first leaves", log.Request(0, 3)),
                 Conflict("the empty tree after them", log.Request(0, 0), 3)});
}

ConformanceScenario Proofs() {
  const TestLog& log = TheLog();
  const TestLog fork(kOrigin, "fork");
  const AddCheckpointRequest good = log.Request(5, 11);
  std::vector<AddCheckpointRequest> bad(5, good);
  bad[0].proof.clear();
  bad[1].proof.pop_back();
  bad[2].proof.push_back(log.Root(1));
  bad[3].proof[0][0] ^= 1;
  std::swap(bad[4].proof[0], bad[4].proof[1]);
  AddCheckpointRequest forked_root = good;
  forked_root.checkpoint = fork.Checkpoint(11);
  AddCheckpointRequest superfluous = log.Request(0, 5);
  superfluous.proof.push_back(log.Root(1));
  AddCheckpointRequest same_size = log.Request(5, 5);
  same_size.proof.push_back(log.Root(1));
  return OneLog(
      "A consistency proof that does not hold is answered 422",
      {Add("hashes though the old size is zero", superfluous, 422),
       Cosigned("none for the first checkpoint", log.Request(0, 5)), Add("no hashes", bad[0], 422),
       Add("one hash too few", bad[1], 422), Add("one hash too many", bad[2], 422),
       Add("a wrong hash", bad[3], 422), Add("two hashes swapped", bad[4], 422),
       Add("the right proof of another tree", fork.Request(5, 11), 422),
       Add("another tree's root", forked_root, 422),
       Add("hashes though the sizes are equal", same_size, 422),
       Served("the first checkpoint stands", Text(log, 5), {log.vkey()}),
       Cosigned("the right proof", good), Cosigned("to a power of two", log.Request(11, 16)),
       Cosigned("from a power of two", log.Request(16, 17)),
       Cosigned("to many more", log.Request(17, 70))});
}

ConformanceScenario Forks() {
  const TestLog& log = TheLog();
  const TestLog fork(kOrigin, "fork");
  return OneLog(
      "Another root of the latest size is answered 422, for ever",
      {Cosigned("the first checkpoint", log.Request(0, 5)),
       Add("another root", fork.Request(5, 5), 422), Add("again", fork.Request(5, 5), 422),
       Served("the first stands", Text(log, 5), {log.vkey()}),
       Cosigned("the log goes on", log.Request(5, 6)),
       Add("the fork's next", fork.Request(6, 6), 422),
       Conflict("the fork's first again", fork.Request(5, 5), 6)});
}

ConformanceScenario Again() {
  const TestLog& log = TheLog();
  const auto signer = note::TestLogSigner(log.origin());
  AddCheckpointRequest extended = log.Request(5, 5);
  extended.checkpoint =
      First(note::FormatCheckpoint({log.origin(), 5, log.Root(5), {"an extension"}}),
            {signer.get()})
          .checkpoint;
  return OneLog(
      "The latest checkpoint again is cosigned as of then",
      {Cosigned("the first time", log.Request(0, 5)),
       Cosigned("the second time", log.Request(5, 5)),
       Cosigned("the third time", log.Request(5, 5)), Served("once", Text(log, 5), {log.vkey()}),
       Cosigned("with an extension line", extended)});
}

ConformanceScenario Extensions() {
  const TestLog& log = TheLog();
  const auto signer = note::TestLogSigner(log.origin());
  const std::vector<std::string> lines = {"an extension", "\xe2\x80\x94 like a signature AAAA", "0",
                                          " "};
  const std::string text = note::FormatCheckpoint({log.origin(), 5, log.Root(5), lines});
  return OneLog("Extension lines are cosigned and served",
                {Cosigned("four of them", First(text, {signer.get()})),
                 Served("all of them", text, {log.vkey()}), Cosigned("none", log.Request(5, 6)),
                 Served("none of those before", Text(log, 6), {log.vkey()})});
}

ConformanceScenario LongProof() {
  // The most hashes that a request may have, and the least sizes that need them.
  constexpr uint64_t kFirst = (uint64_t{1} << 61) + 1;
  constexpr uint64_t kSecond = uint64_t{1} << 62;
  const TestLog& log = TheLog();
  const MadeUpTrees trees = MakeUpTrees(kFirst, kSecond);
  AddCheckpointRequest first;
  first.checkpoint = log.Sign(kFirst, trees.first_root);
  AddCheckpointRequest second{kFirst, trees.proof, log.Sign(kSecond, trees.second_root)};
  AddCheckpointRequest wrong = second;
  wrong.proof.back()[31] ^= 1;
  AddCheckpointRequest largest;
  largest.old_size = kSecond;
  largest.checkpoint = log.Sign(INT64_MAX, trees.second_root);
  return OneLog(
      "Trees may be as large as a proof of 63 hashes can show",
      {Cosigned("a tree of 2^61 + 1 leaves", first),
       Add("63 hashes, of which the last is wrong", wrong, 422),
       Cosigned("63 hashes, to 2^62 leaves", second), Conflict("a size of 2^62", first, kSecond),
       Add("a tree of 2^63 - 1 leaves, unproven", largest, 422)});
}

ConformanceScenario SeveralLogs() {
  const TestLog& log = TheLog();
  // An origin need not be what a key's name must be.
  const TestLog other("example.com/another-sofa");
  const std::string origin = "another sofa + more";
  const auto signer = note::TestLogSigner(other.origin());
  const auto request = [&](uint64_t old_size, uint64_t size) {
    AddCheckpointRequest made = other.Request(old_size, size);
    made.checkpoint =
        First(note::FormatCheckpoint({origin, size, other.Root(size)}), {signer.get()}).checkpoint;
    return made;
  };
  return {"Logs do not concern each other",
          {{log.origin(), {log.vkey()}}, {origin, {other.vkey()}}},
          {Cosigned("one log", log.Request(0, 5)),
           Conflict("the other log has cosigned nothing", request(5, 7), 0),
           Cosigned("the other log, whose origin is no key's name", request(0, 3)),
           Conflict("its latest size", request(5, 7), 3), Cosigned("goes on", request(3, 8)),
           Cosigned("and so does the first", log.Request(5, 7)),
           Add("the first log's key under the other's checkpoint",
               First(note::FormatCheckpoint({origin, 9, other.Root(9)}),
                     {note::TestLogSigner(log.origin()).get()}),
               403),
           Add("the key's name as an origin", other.Request(0, 1), 404)}};
}

ConformanceScenario Monitoring() {
  const TestLog& log = TheLog();
  const std::string hash = kOriginHash;
  std::string upper = hash;
  for (char& c : upper) c = absl::ascii_toupper(c);
  AddCheckpointRequest conflicting = log.Request(3, 7);
  return OneLog(
      "The latest cosigned checkpoint is served, with the signatures that count",
      {Get("nothing was cosigned yet", "/" + hash + "/checkpoint"),
       Cosigned("the first checkpoint", log.Request(0, 5)),
       Served("the first", Text(log, 5), {log.vkey()}), Conflict("an older one", conflicting, 5),
       Served("still the first", Text(log, 5), {log.vkey()}),
       Cosigned("the next", log.Request(5, 7)), Served("the next", Text(log, 7), {log.vkey()}),
       Get("the hash in upper case", "/" + upper + "/checkpoint"),
       Get("half a hash", "/" + hash.substr(0, 32) + "/checkpoint"),
       Get("a log that is not watched", "/" + std::string(64, '0') + "/checkpoint"),
       Get("the log's tiles", "/" + hash + "/tile/0/000")});
}

// The specification's text has an order; a request with two faults shows whether it is kept.
ConformanceScenario Order() {
  const TestLog& log = TheLog();
  const TestLog stranger(log.origin(), "", 'M');
  const TestLog other(kOtherOrigin);
  AddCheckpointRequest unknown_and_above = other.Request(0, 1);
  unknown_and_above.old_size = 2;
  AddCheckpointRequest unsigned_and_above = stranger.Request(0, 1);
  unsigned_and_above.old_size = 2;
  AddCheckpointRequest conflict_and_proof = log.Request(3, 7);
  conflict_and_proof.proof.clear();
  AddCheckpointRequest conflict_and_root;
  conflict_and_root.checkpoint = log.Sign(5, merkle::LeafHash("x"));
  conflict_and_root.old_size = 4;
  AddCheckpointRequest malformed_and_unknown = other.Request(0, 1);
  malformed_and_unknown.checkpoint += "\n";
  return OneLog(
      "Of two faults the one that the specification names first is told",
      {Cosigned("the first checkpoint", log.Request(0, 5)),
       Add("malformed before not watched", malformed_and_unknown, 400),
       Add("not watched before an old size above the checkpoint's", unknown_and_above, 404),
       Add("not signed before an old size above the checkpoint's", unsigned_and_above, 403),
       Add("not signed before a conflict", stranger.Request(3, 7), 403),
       Conflict("a conflict before a proof that does not hold", conflict_and_proof, 5),
       Conflict("a conflict before another root", conflict_and_root, 5)});
}

}  // namespace

std::vector<ConformanceScenario> ConformanceSuite() {
  return {Malformed(),  UnknownLogs(), Signatures(),  ManySignatures(), TwoKeys(),
          OldSizes(),   EmptyTree(),   Proofs(),      Forks(),          Again(),
          Extensions(), LongProof(),   SeveralLogs(), Monitoring(),     Order()};
}

}  // namespace countersign::witness
