#include "libs/http/router.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/http/problem.h"
#include "libs/http/url.h"

namespace countersign::http {
namespace {

bool ValidName(absl::string_view name) {
  for (char c : name) {
    if (!absl::ascii_isalnum(c) && c != '_') return false;
  }
  return !name.empty();
}

// The decoded value of a parameter, or false when the segment cannot be one.
bool DecodeParam(absl::string_view raw, std::string* value) {
  if (raw.empty() || absl::StrContains(raw, ':')) return false;
  auto decoded = PercentDecode(raw);
  if (!decoded.ok() || *decoded == "." || *decoded == "..") return false;
  *value = *std::move(decoded);
  return true;
}

}  // namespace

absl::Status Router::Add(absl::string_view method, absl::string_view pattern, Handler handler) {
  const auto fail = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("pattern '", pattern, "' ", why));
  };
  if (!absl::StartsWith(pattern, "/")) return fail("does not begin with '/'");
  Entry entry;
  // Parameters of different names are the same pattern: compare by shape.
  std::vector<std::string> shape;
  std::set<std::string> names;
  const std::vector<absl::string_view> parts = absl::StrSplit(pattern.substr(1), '/');
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::string_view part = parts[i];
    Segment segment;
    if (absl::ConsumePrefix(&part, "{")) {
      const size_t close = part.find('}');
      if (close == absl::string_view::npos) return fail("has a '{' without '}'");
      absl::string_view name = part.substr(0, close);
      segment.text = std::string(part.substr(close + 1));
      segment.kind = segment.text.empty() ? Segment::Kind::kParam : Segment::Kind::kParamWithSuffix;
      if (absl::ConsumeSuffix(&name, "...")) {
        if (i + 1 != parts.size() || !segment.text.empty()) {
          return fail("has something behind {name...}");
        }
        segment.kind = Segment::Kind::kRest;
      }
      if (!ValidName(name)) return fail("has a parameter without a name of letters, digits and _");
      if (!names.insert(std::string(name)).second) return fail("uses a parameter's name twice");
      if (!segment.text.empty() && segment.text[0] != ':') {
        return fail("has something other than ':' behind a parameter");
      }
      segment.name = std::string(name);
    } else {
      segment.kind = Segment::Kind::kLiteral;
      segment.text = std::string(part);
    }
    if (segment.text.find_first_of("{}") != std::string::npos) {
      return fail("has a brace inside a segment");
    }
    shape.push_back(absl::StrCat(static_cast<int>(segment.kind), segment.text));
    entry.segments.push_back(std::move(segment));
  }
  entry.pattern = absl::StrJoin(shape, "/");
  auto at = std::find_if(entries_.begin(), entries_.end(),
                         [&](const Entry& other) { return other.pattern == entry.pattern; });
  if (at == entries_.end()) {
    at = entries_.insert(std::upper_bound(entries_.begin(), entries_.end(), entry, Before), entry);
  } else {
    for (const auto& [taken, unused] : at->methods) {
      if (taken == method) {
        return absl::AlreadyExistsError(absl::StrCat(method, " ", pattern, " is taken"));
      }
    }
    // Names of parameters belong to the entry, hence to every method of it.
    for (size_t i = 0; i < entry.segments.size(); ++i) {
      if (at->segments[i].name != entry.segments[i].name) {
        return fail("names its parameters unlike another method's pattern");
      }
    }
  }
  at->methods.emplace_back(std::string(method), std::move(handler));
  return absl::OkStatus();
}

bool Router::Before(const Entry& a, const Entry& b) {
  const size_t common = std::min(a.segments.size(), b.segments.size());
  for (size_t i = 0; i < common; ++i) {
    if (a.segments[i].kind != b.segments[i].kind) return a.segments[i].kind < b.segments[i].kind;
    if (a.segments[i].text != b.segments[i].text) return a.segments[i].text < b.segments[i].text;
  }
  return a.segments.size() > b.segments.size();
}

bool Router::Match(const Entry& entry, absl::string_view path,
                   std::vector<std::pair<std::string, std::string>>* params) {
  params->clear();
  if (!absl::ConsumePrefix(&path, "/")) return false;
  for (size_t i = 0; i < entry.segments.size(); ++i) {
    const Segment& segment = entry.segments[i];
    if (segment.kind == Segment::Kind::kRest) {
      if (path.empty()) return false;
      params->emplace_back(segment.name, std::string(path));
      return true;
    }
    const size_t slash = path.find('/');
    absl::string_view part = path.substr(0, slash);
    const bool last = i + 1 == entry.segments.size();
    if (last != (slash == absl::string_view::npos)) return false;
    if (segment.kind == Segment::Kind::kLiteral) {
      if (part != segment.text) return false;
    } else {
      std::string value;
      if (!absl::ConsumeSuffix(&part, segment.text) || !DecodeParam(part, &value)) return false;
      params->emplace_back(segment.name, std::move(value));
    }
    if (!last) path.remove_prefix(slash + 1);
  }
  return true;
}

void Router::Route(Request request, Responder respond) const {
  std::set<std::string> allowed;
  const std::string path(request.path());
  for (const Entry& entry : entries_) {
    if (!Match(entry, path, &request.params)) continue;
    for (const auto& [method, handler] : entry.methods) {
      if (method == request.method) {
        handler(std::move(request), std::move(respond));
        return;
      }
      allowed.insert(method);
      if (method == "GET") allowed.insert("HEAD");
    }
  }
  if (allowed.empty()) {
    // The path is the client's own text; a problem document quotes it as JSON.
    respond(ProblemResponse(absl::NotFoundError(absl::StrCat("there is nothing at ", path))));
    return;
  }
  allowed.insert("OPTIONS");
  Response response;
  if (request.method == "OPTIONS") {
    response.status = 204;
  } else {
    response = ProblemResponse(405, absl::StrCat(request.method, " is not possible here; use ",
                                                 absl::StrJoin(allowed, ", ")));
  }
  response.headers.Set("Allow", absl::StrJoin(allowed, ", "));
  respond(std::move(response));
}

Handler Router::AsHandler() const {
  auto router = std::make_shared<const Router>(*this);
  return [router](Request request, Responder respond) {
    router->Route(std::move(request), std::move(respond));
  };
}

}  // namespace countersign::http
