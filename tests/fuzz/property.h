// What fuzz targets assert with: a broken property ends the process as a crash does.
#ifndef COUNTERSIGN_TESTS_FUZZ_PROPERTY_H_
#define COUNTERSIGN_TESTS_FUZZ_PROPERTY_H_

#include <cstdio>
#include <cstdlib>

namespace countersign::fuzz {

inline void Holds(bool property, const char* what) {
  if (property) return;
  std::fprintf(stderr, "broken property: %s\n", what);
  std::abort();
}

}  // namespace countersign::fuzz

#endif  // COUNTERSIGN_TESTS_FUZZ_PROPERTY_H_
