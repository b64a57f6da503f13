// Objects and certificates, as applet.h has them.
#include <zlib.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/piv/applet.h"
#include "libs/piv/script_transport.h"
#include "libs/piv/tlv.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

std::string Unhex(const std::string& hex) { return RequireOk(base::HexDecode(hex)); }
std::string Hex(absl::string_view bytes) { return base::HexEncode(bytes); }

TEST_CASE("Objects are read and written by their tags") {
  CHECK(RequireOk(Once("00cb3fff055c035fc102",
                       "53026869"
                       "9000",
                       [](Applet* applet) { return applet->ReadObject(kObjectChuid); })) == "hi");
  CHECK(RequireOk(Once("00cb3fff035c017e",
                       "7e026869"
                       "9000",
                       [](Applet* applet) { return applet->ReadObject(kObjectDiscovery); })) ==
        "hi");
  CHECK_THAT(Once("00cb3fff055c035fc102", "6a82",
                  [](Applet* applet) { return applet->ReadObject(kObjectChuid); }),
             StatusIs(StatusCode::kNotFound));
  for (const char* bad : {"53036869"
                          "9000",
                          "530268696a"
                          "9000",
                          "9000",
                          "54026869"
                          "9000"}) {
    CHECK_THAT(Once("00cb3fff055c035fc102", bad,
                    [](Applet* applet) { return applet->ReadObject(kObjectChuid); }),
               StatusIs(StatusCode::kDataLoss));
  }
  CHECK_THAT(Once("00db3fff095c035fc10253026869", "9000",
                  [](Applet* applet) { return applet->WriteObject(kObjectChuid, "hi"); }),
             IsOk());
}

std::string Gzip(absl::string_view bytes) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST_CASE("Certificates are kept plain and read plain or compressed") {
  const std::string der = Unhex("3003020101");
  CHECK_THAT(
      Once("00db3fff135c035fc10a530c"
           "7005" +
               Hex(der) +
               "710100"
               "fe00",
           "9000", [&](Applet* applet) { return applet->WriteCertificate(kSignature, der); }),
      IsOk());
  CHECK_THAT(Once("00db3fff075c035fc10a5300", "9000",
                  [&](Applet* applet) { return applet->DeleteCertificate(kSignature); }),
             IsOk());
  const auto read = [&](absl::string_view contents) {
    return Once("00cb3fff055c035fc10a", Hex(Tlv(0x53, contents)) + "9000",
                [&](Applet* applet) { return applet->ReadCertificate(kSignature); });
  };
  const auto object = [](absl::string_view certificate, char info) {
    return absl::StrCat(Tlv(0x70, certificate), Tlv(0x71, std::string(1, info)), Tlv(0xFE, ""));
  };
  CHECK(RequireOk(read(object(der, 0))) == der);
  CHECK(RequireOk(read(object(Gzip(der), 1))) == der);
  CHECK_THAT(read(""), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(read("\x70"), StatusIs(StatusCode::kDataLoss));
  CHECK_THAT(read(object("", 0)), StatusIs(StatusCode::kDataLoss));
  CHECK_THAT(read(object(der, 1)), StatusIs(StatusCode::kDataLoss, "compressed"));
  CHECK_THAT(read(object(Gzip(der).substr(0, 10), 1)), StatusIs(StatusCode::kDataLoss));
  // A certificate of 100 kB that compresses into a card's object is a bomb.
  const std::string bomb = absl::StrCat(Unhex("30830186a0"), std::string(100'000, '\0'));
  CHECK_THAT(read(object(Gzip(bomb), 1)), StatusIs(StatusCode::kDataLoss, "more than"));
}

}  // namespace
}  // namespace countersign::piv
