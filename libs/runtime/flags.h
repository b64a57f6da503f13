// A command line of --flags, over CLI11, which stays out of this header for the sake of build time.
#ifndef COUNTERSIGN_LIBS_RUNTIME_FLAGS_H_
#define COUNTERSIGN_LIBS_RUNTIME_FLAGS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace countersign::runtime {

// Each Add returns the option, which Require and OneOf take.
class FlagSet {
 public:
  FlagSet(const std::string& name, const std::string& description, const std::string& version);
  ~FlagSet();

  void* AddString(const std::string& name, std::string* value, const std::string& help);
  void* AddInt(const std::string& name, int64_t* value, const std::string& help);
  void* AddBool(const std::string& name, bool* value, const std::string& help);
  void* AddDuration(const std::string& name, absl::Duration* value, const std::string& help);
  void* AddStringList(const std::string& name, std::vector<std::string>* value,
                      const std::string& help);

  static void Require(void* option);
  static void OneOf(void* option, const std::vector<std::string>& values);

  // Sets the values. An exit code when the process is to end now: 0 after --help or --version, 2
  // after one line on standard error for a command line that is wrong.
  std::optional<int> Parse(int argc, char** argv);

 private:
  struct App;
  std::unique_ptr<App> app_;
};

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_FLAGS_H_
