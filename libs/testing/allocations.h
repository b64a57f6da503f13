// How often memory is allocated, for tests of what shall not.
//
// Linking this library replaces the global operator new of the whole test.
#ifndef COUNTERSIGN_LIBS_TESTING_ALLOCATIONS_H_
#define COUNTERSIGN_LIBS_TESTING_ALLOCATIONS_H_

#include <cstdint>

namespace countersign::testing {

// Calls of operator new on this thread so far.
uint64_t Allocations();

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_ALLOCATIONS_H_
