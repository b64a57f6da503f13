#include "cli/progress.h"

#include <sstream>
#include <string>

#include "catch2/catch.hpp"
#include "cli/renewal_progress.h"

namespace countersign::cli {
namespace {

TEST_CASE("The bar fills with what is done") {
  CHECK(ProgressLine(0, 10, "text", 80) == "[" + std::string(30, '.') + "] text");
  CHECK(ProgressLine(5, 10, "text", 80) ==
        "[" + std::string(15, '#') + std::string(15, '.') + "] text");
  CHECK(ProgressLine(10, 10, "text", 80) == "[" + std::string(30, '#') + "] text");
  CHECK(ProgressLine(11, 10, "text", 80) == "[" + std::string(30, '#') + "] text");
  CHECK(ProgressLine(0, 0, "text", 80) == "[" + std::string(30, '#') + "] text");
}

TEST_CASE("A narrow terminal costs the bar, then the text's end") {
  CHECK(ProgressLine(5, 10, "text", 38).size() == 37);
  CHECK(ProgressLine(5, 10, "text", 37) == "text");
  CHECK(ProgressLine(5, 10, "text", 4) == "tex");
}

TEST_CASE("A renewal's line says what is known") {
  sign::v1::Renewal renewal;
  renewal.set_total(1000);
  CHECK(RenewalText(renewal, 0) == "0 of 1000");
  renewal.set_succeeded(509);
  renewal.set_running(50);
  CHECK(RenewalText(renewal, 0) == "509 of 1000, 50 running");
  renewal.set_failed(3);
  CHECK(RenewalText(renewal, 48.81) == "512 of 1000, 3 failed, 50 running, 48.8/s, 9 s left");
  CHECK(RenewalText(renewal, 2000) == "512 of 1000, 3 failed, 50 running, 2000/s, 0 s left");
  CHECK(RenewalText(renewal, 0.01) == "512 of 1000, 3 failed, 50 running, 0.0/s, 13 h 33 m left");
}

TEST_CASE("Off a terminal nothing is written before ten seconds") {
  std::ostringstream out;
  std::ostringstream err;
  Output output(out, err, /*color=*/false);
  RenewalProgress progress(&output);
  sign::v1::Renewal renewal;
  renewal.set_total(2);
  progress.Show(renewal, absl::FromUnixSeconds(0));
  progress.Show(renewal, absl::FromUnixSeconds(1));
  CHECK(err.str().empty());
  CHECK(out.str().empty());
}

}  // namespace
}  // namespace countersign::cli
