#include "libs/bundle/strict_json.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"

namespace countersign::bundle {
namespace {

using nlohmann::json;

// Builds the value and stops at the first thing it refuses.
class Builder : public nlohmann::json_sax<json> {
 public:
  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    if (!std::isfinite(value)) return Refuse("a number is too large");
    return Add(value);
  }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return Refuse("binary value"); }
  bool start_object(std::size_t /*size*/) override { return Open(json::object()); }
  bool start_array(std::size_t /*size*/) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    auto [member, added] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    if (!added) return Refuse(absl::StrCat("the key \"", name, "\" is there twice"));
    member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return Refuse(absl::StrCat("syntax error at byte ", position));
  }

  const std::string& problem() const { return problem_; }
  json& value() { return root_; }

 private:
  // Where the next value goes: the root, the member whose key was read, or the end of an array.
  json* Place(json value) {
    json* slot = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    if (!open_.empty()) slot = member_;
    *slot = std::move(value);
    return slot;
  }

  bool Add(json value) {
    Place(std::move(value));
    return true;
  }

  bool Open(json value) {
    if (open_.size() == kMaxJsonDepth) return Refuse("values are nested too deeply");
    // Pointers to open containers stay good: nothing is added beside one until it is closed.
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  json root_;
  std::vector<json*> open_;
  json* member_ = nullptr;
  std::string problem_;
};

absl::Status WrongType(absl::string_view where, absl::string_view name, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat(where, ".", name, " is not ", wanted));
}

const json* Find(const json& object, absl::string_view name) {
  auto member = object.find(std::string(name));
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

}  // namespace

absl::StatusOr<json> ParseStrictJson(absl::string_view text) {
  Builder builder;
  if (!json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(absl::StrCat("not valid JSON: ", builder.problem()));
  }
  return std::move(builder.value());
}

absl::StatusOr<std::string> TextMember(const json& object, absl::string_view name,
                                       absl::string_view where) {
  const json* member = Find(object, name);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return WrongType(where, name, "a string");
  return member->get_ref<const std::string&>();
}

absl::StatusOr<std::string> BytesMember(const json& object, absl::string_view name,
                                        absl::string_view where) {
  ASSIGN_OR_RETURN(std::string text, TextMember(object, name, where));
  absl::StatusOr<std::string> bytes = base::Base64Decode(text);
  if (!bytes.ok()) return WrongType(where, name, "standard padded base64");
  return bytes;
}

absl::StatusOr<int64_t> CountMember(const json& object, absl::string_view name,
                                    absl::string_view where) {
  const json* member = Find(object, name);
  if (member == nullptr) return 0;
  if (member->is_number_unsigned() && member->get<uint64_t>() <= INT64_MAX) {
    return member->get<int64_t>();
  }
  int64_t value = 0;
  if (!member->is_string() || !absl::SimpleAtoi(member->get_ref<const std::string&>(), &value) ||
      value < 0 || absl::StrCat(value) != member->get_ref<const std::string&>()) {
    return WrongType(where, name, "a non-negative 64-bit integer");
  }
  return value;
}

absl::StatusOr<const json*> ObjectMember(const json& object, absl::string_view name,
                                         absl::string_view where) {
  const json* member = Find(object, name);
  if (member != nullptr && !member->is_object()) return WrongType(where, name, "an object");
  return member;
}

absl::StatusOr<const json*> ArrayMember(const json& object, absl::string_view name,
                                        absl::string_view where) {
  const json* member = Find(object, name);
  if (member != nullptr && !member->is_array()) return WrongType(where, name, "an array");
  return member;
}

}  // namespace countersign::bundle
