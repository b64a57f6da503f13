#include "libs/crypto/pkcs12.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::crypto {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::RunCommand;
using ::countersign::testing::StatusIs;
using ::countersign::testing::TempDir;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

// A key, its certificate and a CA's, made by the openssl command in a folder.
class Folder {
 public:
  explicit Folder(absl::string_view key_options) {
    Run(
        absl::StrCat("openssl req -x509 -nodes -days 2 -subj /CN=leaf -keyout key.pem -out "
                     "leaf.pem ",
                     key_options));
    Run("openssl req -x509 -nodes -days 2 -subj /CN=ca -newkey ec -pkeyopt "
        "ec_paramgen_curve:P-256 -keyout ca.key -out ca.pem");
    Run("openssl x509 -in leaf.pem -outform DER -out leaf.der");
    Run("openssl x509 -in ca.pem -outform DER -out ca.der");
    Run("openssl pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der");
  }
  std::string Run(absl::string_view command) const {
    const auto result = RunCommand(absl::StrCat("cd ", dir_.path(), " && ", command));
    INFO(command << "\n" << result.output);
    REQUIRE(result.exit_code == 0);
    return result.output;
  }
  std::string Read(const std::string& name) const {
    return RequireOk(base::ReadFile(dir_.path() + "/" + name));
  }
  void Write(const std::string& name, absl::string_view contents) const {
    RequireOk(base::WriteFileAtomically(dir_.path() + "/" + name, contents));
  }
  absl::StatusOr<PrivateKey> Key(Algorithm algorithm) const {
    return PrivateKey::FromPkcs8(SecretBytes(Read("key.der")), algorithm);
  }

  const TempDir dir_;
};

constexpr absl::string_view kP256 = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

TEST_CASE("Files of the openssl command are opened, in each of its schemes") {
  const Folder folder(kP256);
  for (const absl::string_view scheme :
       {"", "-legacy", "-certpbe NONE -keypbe NONE", "-macalg sha1", "-macalg sha512",
        "-certpbe AES-128-CBC -keypbe AES-256-CBC -iter 10000",
        "-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES"}) {
    INFO(scheme);
    folder.Run(
        absl::StrCat("openssl pkcs12 -export -inkey key.pem -in leaf.pem -certfile ca.pem "
                     "-name 'My \xC3\xA9 key' -passout 'pass:s\xC3\xA9same' -out file ",
                     scheme));
    const Pkcs12 opened = RequireOk(ParsePkcs12(folder.Read("file"), SecretBytes("s\xC3\xA9same")));
    CHECK(opened.key.algorithm() == Algorithm::kEcdsaP256Sha256);
    CHECK(RequireOk(opened.key.ToPkcs8()).Expose(SecretAccess::Grant()) == folder.Read("key.der"));
    CHECK(opened.certificate == folder.Read("leaf.der"));
    CHECK(opened.others == std::vector<std::string>{folder.Read("ca.der")});
    CHECK(opened.friendly_name == "My \xC3\xA9 key");
  }
}

TEST_CASE("A file that is made is opened again, and by the openssl command, for each key") {
  const std::vector<std::pair<Algorithm, std::string>> kinds = {
      {Algorithm::kEcdsaP256Sha256, std::string(kP256)},
      {Algorithm::kEcdsaP384Sha384, "-newkey ec -pkeyopt ec_paramgen_curve:P-384"},
      {Algorithm::kEd25519, "-newkey ed25519"},
      {Algorithm::kRsaPkcs1_2048Sha256, "-newkey rsa:2048"}};
  for (const auto& [algorithm, options] : kinds) {
    INFO(AlgorithmName(algorithm));
    const Folder folder(options);
    const PrivateKey key = RequireOk(folder.Key(algorithm));
    const SecretBytes passphrase("p\xC3\xA4ss phrase");
    const std::string file = RequireOk(BuildPkcs12(
        key, folder.Read("leaf.der"), {folder.Read("ca.der")}, "n\xC3\xA4me", passphrase));
    const Pkcs12 opened = RequireOk(ParsePkcs12(file, passphrase));
    CHECK(opened.key.algorithm() == algorithm);
    CHECK(opened.key.public_key() == key.public_key());
    CHECK(opened.certificate == folder.Read("leaf.der"));
    CHECK(opened.others == std::vector<std::string>{folder.Read("ca.der")});
    CHECK(opened.friendly_name == "n\xC3\xA4me");

    folder.Write("file", file);
    const std::string info = folder.Run(
        "openssl pkcs12 -in file -passin 'pass:p\xC3\xA4ss phrase' -nodes -info -out all.pem");
    INFO(info);
    CHECK(absl::StrContains(info, "MAC: sha256, Iteration 100000"));
    CHECK(absl::StrContains(info,
                            "PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF "
                            "hmacWithSHA256"));
    folder.Run("openssl pkcs8 -topk8 -nocrypt -in all.pem -outform DER -out again.der");
    CHECK(folder.Read("again.der") == folder.Read("key.der"));
    CHECK(absl::StrContains(folder.Read("all.pem"), "friendlyName: "));
    CHECK(absl::StrContains(folder.Read("all.pem"), "localKeyID: "));
  }
}

TEST_CASE("Passphrases may be empty or long, but have no zero byte") {
  const Folder folder(kP256);
  const PrivateKey key = RequireOk(folder.Key(Algorithm::kEcdsaP256Sha256));
  const auto build = [&](absl::string_view passphrase, absl::string_view name = "") {
    return BuildPkcs12(key, folder.Read("leaf.der"), {}, name, SecretBytes(passphrase));
  };
  for (const std::string& passphrase :
       {std::string(), std::string(31, 'x'), std::string(32, 'x'), std::string(200, 'y')}) {
    const Pkcs12 opened =
        RequireOk(ParsePkcs12(RequireOk(build(passphrase)), SecretBytes(passphrase)));
    CHECK(opened.others.empty());
    CHECK(opened.friendly_name.empty());
  }
  CHECK_THAT(build("\xFF"), StatusIs(kInvalid, "UTF-8"));
  CHECK_THAT(build("\xF0\x9F\x98\x80"), StatusIs(kInvalid, "UTF-8"));
  CHECK_THAT(build("x", "\xC3"), StatusIs(kInvalid, "UTF-8"));
  CHECK_THAT(ParsePkcs12(RequireOk(build("x")), SecretBytes(absl::string_view("x\0y", 3))),
             StatusIs(kInvalid, "zero byte"));
}

TEST_CASE("A wrong passphrase, an altered or a shortened file is told") {
  const Folder folder(kP256);
  const PrivateKey key = RequireOk(folder.Key(Algorithm::kEcdsaP256Sha256));
  const SecretBytes passphrase("right");
  const std::string file = RequireOk(BuildPkcs12(key, folder.Read("leaf.der"), {}, "", passphrase));
  CHECK_THAT(ParsePkcs12(file, SecretBytes("wrong")), StatusIs(kInvalid, "passphrase is wrong"));
  std::string altered = file;
  altered[altered.size() / 2] ^= 1;
  CHECK_THAT(ParsePkcs12(altered, passphrase), StatusIs(kInvalid));
  CHECK_THAT(ParsePkcs12(file + "x", passphrase), StatusIs(kInvalid, "DER"));
  for (size_t size = 0; size < file.size(); size += 13) {
    CHECK_THAT(ParsePkcs12(absl::string_view(file).substr(0, size), passphrase),
               StatusIs(kInvalid, "DER"));
  }
}

TEST_CASE("Too many iterations are refused before anything is derived") {
  const Folder folder(kP256);
  const SecretBytes passphrase("x");
  for (const absl::string_view options :
       {"-iter 3000", "-iter 3000 -legacy", "-certpbe NONE -iter 3000", "-nomaciter -iter 3000"}) {
    INFO(options);
    folder.Run(
        absl::StrCat("openssl pkcs12 -export -inkey key.pem -in leaf.pem -passout pass:x "
                     "-out file ",
                     options));
    CHECK(ParsePkcs12(folder.Read("file"), passphrase, 3000).ok());
    CHECK_THAT(ParsePkcs12(folder.Read("file"), passphrase, 2999),
               StatusIs(kInvalid, "more than 2999 rounds"));
  }
}

TEST_CASE("Key and certificate must be there and belong together") {
  const Folder folder(kP256);
  const SecretBytes passphrase("x");
  const PrivateKey other = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  CHECK_THAT(BuildPkcs12(other, folder.Read("leaf.der"), {}, "", passphrase),
             StatusIs(kInvalid, "not the key's"));
  CHECK_THAT(BuildPkcs12(other, "garbage", {}, "", passphrase), StatusIs(kInvalid));
  folder.Run("openssl pkcs12 -export -nokeys -in leaf.pem -passout pass:x -out file");
  CHECK_THAT(ParsePkcs12(folder.Read("file"), passphrase), StatusIs(kInvalid, "no private key"));
  folder.Run("openssl pkcs12 -export -nocerts -inkey key.pem -passout pass:x -out file");
  CHECK_THAT(ParsePkcs12(folder.Read("file"), passphrase), StatusIs(kInvalid, "no certificate"));
  folder.Run(
      "openssl req -x509 -nodes -days 2 -subj /CN=x -newkey rsa:1024 -keyout small.key -out "
      "small.pem && openssl pkcs12 -export -inkey small.key -in small.pem -passout pass:x "
      "-out file");
  CHECK_THAT(ParsePkcs12(folder.Read("file"), passphrase), StatusIs(kInvalid));
}

}  // namespace
}  // namespace countersign::crypto
