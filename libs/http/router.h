// Chooses a handler by method and path.
#ifndef COUNTERSIGN_LIBS_HTTP_ROUTER_H_
#define COUNTERSIGN_LIBS_HTTP_ROUTER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/http/message.h"

namespace countersign::http {

// Patterns, segment by segment:
//   /keys/search          the words themselves
//   /keys/{key}           one segment, percent-decoded into the parameter `key`; not empty
//   /keys/{key}:rotate    the same before a literal end (AIP-136 custom methods)
//   /tile/{rest...}       last only: what remains, not decoded, not empty, slashes included
// A raw ':' never matches inside a parameter (it separates custom methods; clients send %3A), nor
// does a parameter match "." or "..", encoded or not. The most literal pattern wins, whatever the
// order of Add. A path that no pattern has is answered 404, one that has the path but not the
// method 405 with Allow; OPTIONS is answered with Allow unless it has a handler.
//
// Build first, then serve: Add is not thread-safe, Route is.
class Router {
 public:
  // InvalidArgument for a malformed pattern, AlreadyExists when method and pattern are taken.
  absl::Status Add(absl::string_view method, absl::string_view pattern, Handler handler);

  // Dispatches; fills request.params.
  void Route(Request request, Responder respond) const;

  // A handler that routes through a copy of this router.
  Handler AsHandler() const;

 private:
  struct Segment {
    enum class Kind { kLiteral, kParamWithSuffix, kParam, kRest } kind;
    std::string text;  // the literal, or the suffix behind the parameter
    std::string name;  // of the parameter
  };
  struct Entry {
    std::string pattern;
    std::vector<Segment> segments;
    std::vector<std::pair<std::string, Handler>> methods;
  };

  static bool Before(const Entry& a, const Entry& b);
  static bool Match(const Entry& entry, absl::string_view path,
                    std::vector<std::pair<std::string, std::string>>* params);

  std::vector<Entry> entries_;  // sorted by Before
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_ROUTER_H_
