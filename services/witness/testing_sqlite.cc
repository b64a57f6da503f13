#include "absl/strings/str_cat.h"
#include "libs/testing/matchers.h"
#include "services/witness/testing.h"

namespace countersign::witness {

std::unique_ptr<storage::Database> OpenDatabase(const std::string& directory) {
  return testing::RequireOk(
      storage::Database::Open(absl::StrCat("sqlite:", directory, "/witness.db")));
}

}  // namespace countersign::witness
