#include "services/gateway/transcoder.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "libs/base/status_macros.h"
#include "libs/http/message.h"
#include "libs/http/url.h"
#include "libs/runtime/request_id.h"

namespace countersign::gateway {
namespace {

namespace protobuf = google::protobuf;
using protobuf::FieldDescriptor;

constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";
constexpr char kMediaTypeUrl[] = "type.countersign.dev/unsupported-media-type";

absl::Status Violation(absl::string_view field, absl::string_view description) {
  google::rpc::BadRequest bad_request;
  auto* const violation = bad_request.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(description));
  absl::Status status =
      absl::InvalidArgumentError(absl::StrCat("field '", field, "' ", description));
  status.SetPayload(kBadRequestUrl, absl::Cord(bad_request.SerializeAsString()));
  return status;
}

// protobuf's messages name fields as the .proto does; the JSON has lowerCamel names.
std::string LowerCamel(absl::string_view path) {
  std::string out;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '_' && i + 1 < path.size()) {
      out.push_back(absl::ascii_toupper(path[++i]));
    } else {
      out.push_back(path[i]);
    }
  }
  return out;
}

absl::string_view Expected(absl::string_view type) {
  if (type == "TYPE_BYTES") return "is not a string of base64";
  if (type == "TYPE_STRING") return "is not a string";
  if (type == "TYPE_BOOL") return "is neither true nor false";
  if (absl::StartsWith(type, "TYPE_")) return "is not a number that fits";
  return "is not a value of its type";
}

// protobuf says "(a.b) c: Cannot find field." and "(a.b): invalid value "…" for type T"; the value
// is left out of what is passed on, for it may be long or confidential.
absl::Status ExplainJsonError(absl::string_view message) {
  constexpr absl::string_view kUnknown = ": Cannot find field.";
  absl::string_view path;
  absl::string_view rest = message;
  if (absl::ConsumePrefix(&rest, "(")) {
    const size_t close = rest.find(')');
    if (close != absl::string_view::npos) {
      path = rest.substr(0, close);
      rest.remove_prefix(close + 1);
      absl::ConsumePrefix(&rest, " ");
    }
  }
  if (absl::ConsumeSuffix(&rest, kUnknown)) {
    return Violation(absl::StrCat(LowerCamel(path), path.empty() ? "" : ".", rest),
                     "does not exist here");
  }
  const size_t type = rest.rfind(" for type ");
  if (!path.empty() && type != absl::string_view::npos) {
    return Violation(LowerCamel(path), Expected(rest.substr(type + 10)));
  }
  rest = message.substr(0, message.find('\n'));
  absl::ConsumePrefix(&rest, ": ");
  return absl::InvalidArgumentError(absl::StrCat("the body is not the JSON expected here: ", rest));
}

// RFC 3629; a percent-encoded path or query can hold any bytes, a protobuf string cannot.
bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4) return false;
    uint32_t code = lead & (0x3f >> more);
    for (int k = 0; k < more; ++k) {
      if (i == text.size() || (text[i] & 0xc0) != 0x80) return false;
      code = code << 6 | (text[i++] & 0x3f);
    }
    static constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      return false;
  }
  return true;
}

// "tenants/{tenant}/keys/{key}" with the path's parameters put in.
absl::StatusOr<std::string> Fill(absl::string_view value, const http::Request& request) {
  std::string filled(value);
  for (const auto& [name, text] : request.params) {
    if (!IsUtf8(text)) return Violation(name, "is not UTF-8");
    // Else a parameter could name a resource of another parent.
    if (absl::StrContains(text, '/')) return Violation(name, "must not hold a '/'");
    filled = absl::StrReplaceAll(filled, {{absl::StrCat("{", name, "}"), text}});
  }
  return filled;
}

bool AddInt64(const std::string& text, bool repeated, const protobuf::Reflection& reflection,
              const FieldDescriptor* field, protobuf::Message* message) {
  int64_t value;
  if (!absl::SimpleAtoi(text, &value)) return false;
  if (repeated) {
    reflection.AddInt64(message, field, value);
  } else {
    reflection.SetInt64(message, field, value);
  }
  return true;
}

// Sets (or adds to) a field of a type that fits into a query. The types are those the suite's
// requests have there; another gives an error that names it.
absl::Status SetFromText(const FieldDescriptor* field, const std::string& text,
                         protobuf::Message* message) {
  const protobuf::Reflection& reflection = *message->GetReflection();
  const std::string& name = field->json_name();
  const bool repeated = field->is_repeated();
  if (!repeated && reflection.HasField(*message, field)) return Violation(name, "is given twice");
  if (field->containing_oneof() != nullptr &&
      reflection.HasOneof(*message, field->containing_oneof())) {
    return Violation(name, "excludes another field of this query");
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string value = text;
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        // A '+' that was not percent-encoded has become a space.
        const std::string base64 = absl::StrReplaceAll(text, {{" ", "+"}, {"-", "+"}, {"_", "/"}});
        if (!absl::Base64Unescape(base64, &value)) {
          return Violation(name, "is not a string of base64");
        }
      } else if (!IsUtf8(value)) {
        return Violation(name, "is not UTF-8");
      }
      if (repeated) {
        reflection.AddString(message, field, std::move(value));
      } else {
        reflection.SetString(message, field, std::move(value));
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_INT64:
      if (AddInt64(text, repeated, reflection, field, message)) return absl::OkStatus();
      return Violation(name, "is not a number that fits");
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t value;
      if (repeated || !absl::SimpleAtoi(text, &value)) {
        return Violation(name, "is not a number that fits");
      }
      reflection.SetInt32(message, field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      if (repeated || (text != "true" && text != "false")) {
        return Violation(name, "is neither true nor false");
      }
      reflection.SetBool(message, field, text == "true");
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* const value = field->enum_type()->FindValueByName(text);
      if (value == nullptr) return Violation(name, "is not a value of its type");
      if (repeated) {
        reflection.AddEnum(message, field, value);
      } else {
        reflection.SetEnum(message, field, value);
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      auto* const time =
          repeated ? nullptr
                   : dynamic_cast<protobuf::Timestamp*>(reflection.MutableMessage(message, field));
      if (time == nullptr) return Violation(name, "cannot be given in a query");
      if (!protobuf::util::TimeUtil::FromString(text, time)) {
        return Violation(name, "is not a time such as 2026-12-31T23:59:59Z");
      }
      return absl::OkStatus();
    }
    default:
      return Violation(name, "cannot be given in a query");
  }
}

bool IsJson(absl::string_view content_type) {
  const absl::string_view type =
      absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  return absl::EqualsIgnoreCase(type, "application/json");
}

}  // namespace

bool IsUnsupportedMediaType(const absl::Status& status) {
  return status.GetPayload(kMediaTypeUrl).has_value();
}

absl::StatusOr<Transcoder> Transcoder::Create(const RpcRoute& route) {
  const auto* const method = FindMethod(route.service, route.rpc);
  const auto fail = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("route ", route.method, " ", route.pattern, " ", why));
  };
  if (method == nullptr) return fail("names an RPC that does not exist");
  if (method->client_streaming() || method->server_streaming()) return fail("names a stream");
  Transcoder transcoder;
  transcoder.rpc_path_ = absl::StrCat("/", method->service()->full_name(), "/", method->name());
  transcoder.query_ = absl::string_view(route.method) == "GET";
  transcoder.field_name_ = route.field;
  transcoder.value_ = route.value;
  const protobuf::Descriptor* type = method->input_type();
  for (absl::string_view part : absl::StrSplit(route.field, '.', absl::SkipEmpty())) {
    const FieldDescriptor* const field =
        type == nullptr ? nullptr : type->FindFieldByName(std::string(part));
    if (field == nullptr) return fail("binds a field that does not exist");
    transcoder.field_.push_back(field);
    type = field->message_type();
  }
  if (!transcoder.field_.empty() &&
      transcoder.field_.back()->type() != FieldDescriptor::TYPE_STRING) {
    return fail("binds a field that is not a string");
  }
  auto* const factory = protobuf::MessageFactory::generated_factory();
  transcoder.request_ = factory->GetPrototype(method->input_type());
  transcoder.response_ = factory->GetPrototype(method->output_type());
  return transcoder;
}

absl::Status Transcoder::Bind(const http::Request& request, protobuf::Message* message) const {
  ASSIGN_OR_RETURN(std::string value, Fill(value_, request));
  if (field_.empty()) return absl::OkStatus();
  for (size_t i = 0; i + 1 < field_.size(); ++i) {
    message = message->GetReflection()->MutableMessage(message, field_[i]);
  }
  const protobuf::Reflection& reflection = *message->GetReflection();
  const std::string given = reflection.GetString(*message, field_.back());
  if (!given.empty() && given != value) {
    return Violation(LowerCamel(field_name_), absl::StrCat("is not what the path says, ", value));
  }
  reflection.SetString(message, field_.back(), std::move(value));
  return absl::OkStatus();
}

absl::Status Transcoder::ReadQuery(const http::Request& request, protobuf::Message* message) const {
  ASSIGN_OR_RETURN(const http::QueryParams query, http::ParseQuery(request.query()));
  for (const auto& [name, text] : query) {
    const auto unknown = [&name = name] { return Violation(name, "does not exist in this query"); };
    if (!query_) return unknown();
    protobuf::Message* holder = message;
    const FieldDescriptor* field = nullptr;
    for (const absl::string_view part : absl::StrSplit(name, '.')) {
      if (field != nullptr) {
        if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_repeated()) {
          return unknown();
        }
        holder = holder->GetReflection()->MutableMessage(holder, field);
      }
      const protobuf::Descriptor* const type = holder->GetDescriptor();
      field = type->FindFieldByCamelcaseName(std::string(part));
      if (field == nullptr) field = type->FindFieldByName(std::string(part));
      if (field == nullptr) return unknown();
    }
    RETURN_IF_ERROR(SetFromText(field, text, holder));
  }
  return absl::OkStatus();
}

namespace {

// Channels try an UNAVAILABLE call again: a write that names no request id (AIP-155) gets one, so
// that it happens once; so does each request within a request. Calls that sign what they are given
// are left alone: signing twice does no harm, remembering costs.
void GiveRequestIds(protobuf::Message* message) {
  const protobuf::Descriptor* type = message->GetDescriptor();
  const protobuf::Reflection* reflection = message->GetReflection();
  const FieldDescriptor* id = type->FindFieldByName("request_id");
  const bool signs =
      type->FindFieldByName("ledger") != nullptr && type->FindFieldByName("csr") == nullptr;
  if (id != nullptr && !signs && reflection->GetString(*message, id).empty()) {
    reflection->SetString(message, id, runtime::NewRequestId());
  }
  for (const char* name : {"request", "requests"}) {
    const FieldDescriptor* inner = type->FindFieldByName(name);
    if (inner == nullptr || inner->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!inner->is_repeated()) {
      if (reflection->HasField(*message, inner)) {
        GiveRequestIds(reflection->MutableMessage(message, inner));
      }
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(*message, inner); ++i) {
      GiveRequestIds(reflection->MutableRepeatedMessage(message, inner, i));
    }
  }
}

}  // namespace

absl::StatusOr<std::string> Transcoder::ToRpc(const http::Request& request) const {
  const std::unique_ptr<protobuf::Message> message(request_->New());
  if (!query_ && !request.body.empty()) {
    if (!IsJson(request.headers.Get("Content-Type"))) {
      absl::Status status =
          absl::InvalidArgumentError("the body must be JSON: send Content-Type: application/json");
      status.SetPayload(kMediaTypeUrl, absl::Cord());
      return status;
    }
    const auto parsed = protobuf::util::JsonStringToMessage(request.body, message.get());
    if (!parsed.ok()) {
      return ExplainJsonError({parsed.message().data(), parsed.message().size()});
    }
  }
  RETURN_IF_ERROR(ReadQuery(request, message.get()));
  RETURN_IF_ERROR(Bind(request, message.get()));
  GiveRequestIds(message.get());
  return message->SerializeAsString();
}

absl::StatusOr<std::string> Transcoder::ToJson(const std::string& response) const {
  const std::unique_ptr<protobuf::Message> message(response_->New());
  if (!message->ParseFromString(response)) {
    return absl::InternalError(absl::StrCat("the answer to ", rpc_path_, " is not of its type"));
  }
  protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto printed = protobuf::util::MessageToJsonString(*message, &json, options);
  if (!printed.ok()) {
    return absl::InternalError(absl::StrCat("the answer to ", rpc_path_, " has no JSON form"));
  }
  json.push_back('\n');
  return json;
}

}  // namespace countersign::gateway
