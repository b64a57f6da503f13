#define CATCH_CONFIG_MAIN
#include "catch2/catch.hpp"

#if defined(__SANITIZE_THREAD__)
// gRPC's headers compile into our code, but what orders their accesses happens inside Debian's
// uninstrumented library, where ThreadSanitizer cannot see it.
extern "C" const char* __tsan_default_suppressions() { return "race:grpc::\n"; }
#endif
