#include "libs/bundle/bundle.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/strict_json.h"
#include "libs/crypto/digest.h"

namespace countersign::bundle {
namespace {

using base::Base64Encode;
using nlohmann::json;
using nlohmann::ordered_json;

// Early v0.3 producers wrote the type with a parameter.
constexpr absl::string_view kBundleMediaTypeParameter =
    "application/vnd.dev.sigstore.bundle+json;version=0.3";

ordered_json EntryJson(const LogEntry& entry) {
  ordered_json hashes = ordered_json::array();
  for (const std::string& hash : entry.inclusion_proof.hashes) hashes.push_back(Base64Encode(hash));
  return {
      {"logIndex", absl::StrCat(entry.log_index)},
      {"logId", {{"keyId", Base64Encode(entry.log_id)}}},
      {"kindVersion", {{"kind", entry.kind}, {"version", entry.version}}},
      {"integratedTime", absl::StrCat(entry.integrated_time)},
      {"inclusionProof",
       {{"logIndex", absl::StrCat(entry.inclusion_proof.log_index)},
        {"rootHash", Base64Encode(entry.inclusion_proof.root_hash)},
        {"treeSize", absl::StrCat(entry.inclusion_proof.tree_size)},
        {"hashes", std::move(hashes)},
        {"checkpoint", {{"envelope", entry.inclusion_proof.checkpoint}}}}},
      {"canonicalizedBody", Base64Encode(entry.canonicalized_body)},
  };
}

// An array's elements must be objects, or strings of base64.
absl::Status ElementError(absl::string_view where, size_t i, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat(where, "[", i, "] is not ", wanted));
}

absl::StatusOr<const json*> Required(const json& parent, absl::string_view name,
                                     absl::string_view where) {
  ASSIGN_OR_RETURN(const json* object, ObjectMember(parent, name, where));
  if (object == nullptr) return absl::InvalidArgumentError(absl::StrCat(where, " has no ", name));
  return object;
}

absl::StatusOr<LogEntry> ParseEntry(const json& object, const std::string& where) {
  LogEntry entry;
  ASSIGN_OR_RETURN(entry.log_index, CountMember(object, "logIndex", where));
  ASSIGN_OR_RETURN(const json* log_id, Required(object, "logId", where));
  ASSIGN_OR_RETURN(entry.log_id, BytesMember(*log_id, "keyId", "logId"));
  ASSIGN_OR_RETURN(const json* kind, Required(object, "kindVersion", where));
  ASSIGN_OR_RETURN(entry.kind, TextMember(*kind, "kind", "kindVersion"));
  ASSIGN_OR_RETURN(entry.version, TextMember(*kind, "version", "kindVersion"));
  ASSIGN_OR_RETURN(entry.integrated_time, CountMember(object, "integratedTime", where));
  ASSIGN_OR_RETURN(entry.canonicalized_body, BytesMember(object, "canonicalizedBody", where));

  ASSIGN_OR_RETURN(const json* proof, Required(object, "inclusionProof", where));
  InclusionProof& out = entry.inclusion_proof;
  ASSIGN_OR_RETURN(out.log_index, CountMember(*proof, "logIndex", "inclusionProof"));
  ASSIGN_OR_RETURN(out.root_hash, BytesMember(*proof, "rootHash", "inclusionProof"));
  ASSIGN_OR_RETURN(out.tree_size, CountMember(*proof, "treeSize", "inclusionProof"));
  ASSIGN_OR_RETURN(const json* checkpoint, Required(*proof, "checkpoint", "inclusionProof"));
  ASSIGN_OR_RETURN(out.checkpoint, TextMember(*checkpoint, "envelope", "checkpoint"));
  ASSIGN_OR_RETURN(const json* hashes, ArrayMember(*proof, "hashes", "inclusionProof"));
  for (size_t i = 0; hashes != nullptr && i < hashes->size(); ++i) {
    const json& element = (*hashes)[i];
    absl::StatusOr<std::string> hash = absl::InvalidArgumentError("");
    if (element.is_string()) hash = base::Base64Decode(element.get_ref<const std::string&>());
    if (!hash.ok()) return ElementError("hashes", i, "standard padded base64");
    out.hashes.push_back(*std::move(hash));
  }
  return entry;
}

absl::Status ParseMaterial(const json& material, Bundle* bundle) {
  constexpr absl::string_view kWhere = "verificationMaterial";
  ASSIGN_OR_RETURN(const json* key, ObjectMember(material, "publicKey", kWhere));
  ASSIGN_OR_RETURN(const json* certificate, ObjectMember(material, "certificate", kWhere));
  ASSIGN_OR_RETURN(const json* chain, ObjectMember(material, "x509CertificateChain", kWhere));
  if (chain != nullptr) {
    return absl::UnimplementedError(
        "the bundle holds a certificate chain; bundles of version 0.3 hold the leaf only");
  }
  if ((key == nullptr) == (certificate == nullptr)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kWhere, " needs either publicKey or certificate"));
  }
  if (key != nullptr) {
    ASSIGN_OR_RETURN(bundle->key_hint, TextMember(*key, "hint", "publicKey"));
  }
  if (certificate != nullptr) {
    ASSIGN_OR_RETURN(bundle->certificate_der, BytesMember(*certificate, "rawBytes", "certificate"));
    if (bundle->certificate_der.empty()) {
      return absl::InvalidArgumentError("certificate.rawBytes is empty");
    }
  }
  ASSIGN_OR_RETURN(const json* entries, ArrayMember(material, "tlogEntries", kWhere));
  for (size_t i = 0; entries != nullptr && i < entries->size(); ++i) {
    if (!(*entries)[i].is_object()) return ElementError("tlogEntries", i, "an object");
    ASSIGN_OR_RETURN(LogEntry entry,
                     ParseEntry((*entries)[i], absl::StrCat("tlogEntries[", i, "]")));
    bundle->log_entries.push_back(std::move(entry));
  }
  ASSIGN_OR_RETURN(const json* times, ObjectMember(material, "timestampVerificationData", kWhere));
  if (times == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const json* stamps,
                   ArrayMember(*times, "rfc3161Timestamps", "timestampVerificationData"));
  for (size_t i = 0; stamps != nullptr && i < stamps->size(); ++i) {
    if (!(*stamps)[i].is_object()) return ElementError("rfc3161Timestamps", i, "an object");
    ASSIGN_OR_RETURN(std::string stamp,
                     BytesMember((*stamps)[i], "signedTimestamp", "rfc3161Timestamps"));
    bundle->rfc3161_timestamps.push_back(std::move(stamp));
  }
  return absl::OkStatus();
}

absl::StatusOr<MessageSignature> ParseMessage(const json& message) {
  MessageSignature out;
  ASSIGN_OR_RETURN(const json* digest, Required(message, "messageDigest", "messageSignature"));
  ASSIGN_OR_RETURN(const std::string name, TextMember(*digest, "algorithm", "messageDigest"));
  ASSIGN_OR_RETURN(out.digest_algorithm, ParseSigstoreDigestName(name));
  ASSIGN_OR_RETURN(out.digest, BytesMember(*digest, "digest", "messageDigest"));
  ASSIGN_OR_RETURN(out.signature, BytesMember(message, "signature", "messageSignature"));
  return out;
}

absl::StatusOr<DsseEnvelope> ParseEnvelope(const json& envelope) {
  DsseEnvelope out;
  ASSIGN_OR_RETURN(out.payload_type, TextMember(envelope, "payloadType", "dsseEnvelope"));
  ASSIGN_OR_RETURN(out.payload, BytesMember(envelope, "payload", "dsseEnvelope"));
  ASSIGN_OR_RETURN(const json* signatures, ArrayMember(envelope, "signatures", "dsseEnvelope"));
  for (size_t i = 0; signatures != nullptr && i < signatures->size(); ++i) {
    if (!(*signatures)[i].is_object()) return ElementError("signatures", i, "an object");
    DsseSignature signature;
    ASSIGN_OR_RETURN(signature.signature, BytesMember((*signatures)[i], "sig", "signatures"));
    ASSIGN_OR_RETURN(signature.key_id, TextMember((*signatures)[i], "keyid", "signatures"));
    out.signatures.push_back(std::move(signature));
  }
  return out;
}

Bundle WithoutContent(const HashedRekord& entry, std::string body, LogProof proof) {
  Bundle bundle;
  if (entry.certificate_der.empty()) bundle.key_hint = KeyHint(entry.spki_der);
  bundle.certificate_der = entry.certificate_der;
  LogEntry logged;
  logged.log_index = proof.index;
  logged.log_id = std::move(proof.log_id);
  logged.kind = std::string(kHashedRekordKind);
  logged.version = std::string(kHashedRekordVersion);
  logged.inclusion_proof.log_index = proof.index;
  logged.inclusion_proof.root_hash = std::move(proof.root_hash);
  logged.inclusion_proof.tree_size = proof.tree_size;
  logged.inclusion_proof.hashes = std::move(proof.hashes);
  logged.inclusion_proof.checkpoint = std::move(proof.checkpoint);
  logged.canonicalized_body = std::move(body);
  bundle.log_entries.push_back(std::move(logged));
  return bundle;
}

}  // namespace

std::string KeyHint(absl::string_view spki_der) {
  return Base64Encode(crypto::Digest(crypto::DigestAlgorithm::kSha256, spki_der));
}

std::string FormatBundle(const Bundle& bundle) {
  ordered_json material;
  if (bundle.certificate_der.empty()) {
    material["publicKey"] = {{"hint", bundle.key_hint}};
  } else {
    material["certificate"] = {{"rawBytes", Base64Encode(bundle.certificate_der)}};
  }
  ordered_json entries = ordered_json::array();
  for (const LogEntry& entry : bundle.log_entries) entries.push_back(EntryJson(entry));
  material["tlogEntries"] = std::move(entries);
  ordered_json stamps = ordered_json::array();
  for (const std::string& stamp : bundle.rfc3161_timestamps) {
    stamps.push_back({{"signedTimestamp", Base64Encode(stamp)}});
  }
  material["timestampVerificationData"]["rfc3161Timestamps"] = std::move(stamps);

  ordered_json root;
  root["mediaType"] = std::string(kBundleMediaType);
  root["verificationMaterial"] = std::move(material);
  if (const auto* message = std::get_if<MessageSignature>(&bundle.content)) {
    root["messageSignature"] = {
        {"messageDigest",
         {{"algorithm", std::string(SigstoreDigestName(message->digest_algorithm))},
          {"digest", Base64Encode(message->digest)}}},
        {"signature", Base64Encode(message->signature)}};
  } else {
    const auto& envelope = std::get<DsseEnvelope>(bundle.content);
    ordered_json signatures = ordered_json::array();
    for (const DsseSignature& signature : envelope.signatures) {
      signatures.push_back(
          {{"sig", Base64Encode(signature.signature)}, {"keyid", signature.key_id}});
    }
    root["dsseEnvelope"] = {{"payload", Base64Encode(envelope.payload)},
                            {"payloadType", envelope.payload_type},
                            {"signatures", std::move(signatures)}};
  }
  // Text that is not UTF-8 cannot come from ParseBundle; replacing it keeps dump() from throwing.
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Bundle> ParseBundle(absl::string_view text) {
  if (text.size() > kMaxBundleSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the bundle has ", text.size(), " bytes; at most ", kMaxBundleSize, " are accepted"));
  }
  ASSIGN_OR_RETURN(const json root, ParseStrictJson(text));
  if (!root.is_object()) return absl::InvalidArgumentError("the bundle is not a JSON object");
  ASSIGN_OR_RETURN(const std::string media_type, TextMember(root, "mediaType", "bundle"));
  if (media_type != kBundleMediaType && media_type != kBundleMediaTypeParameter) {
    return absl::UnimplementedError(absl::StrCat(
        "this is not a Sigstore bundle of version 0.3: ", "mediaType is \"", media_type, "\""));
  }
  Bundle bundle;
  ASSIGN_OR_RETURN(const json* material, Required(root, "verificationMaterial", "bundle"));
  RETURN_IF_ERROR(ParseMaterial(*material, &bundle));
  ASSIGN_OR_RETURN(const json* message, ObjectMember(root, "messageSignature", "bundle"));
  ASSIGN_OR_RETURN(const json* envelope, ObjectMember(root, "dsseEnvelope", "bundle"));
  if ((message == nullptr) == (envelope == nullptr)) {
    return absl::InvalidArgumentError("the bundle needs either messageSignature or dsseEnvelope");
  }
  if (message != nullptr) {
    ASSIGN_OR_RETURN(bundle.content, ParseMessage(*message));
  } else {
    ASSIGN_OR_RETURN(bundle.content, ParseEnvelope(*envelope));
  }
  return bundle;
}

Bundle MakeBundle(const HashedRekord& entry, std::string body, LogProof proof) {
  Bundle bundle = WithoutContent(entry, std::move(body), std::move(proof));
  bundle.content = MessageSignature{entry.digest_algorithm, entry.digest, entry.signature};
  return bundle;
}

Bundle MakeDsseBundle(const HashedRekord& entry, std::string body, LogProof proof,
                      absl::string_view payload_type, absl::string_view payload) {
  Bundle bundle = WithoutContent(entry, std::move(body), std::move(proof));
  bundle.content = DsseEnvelope{std::string(payload_type),
                                std::string(payload),
                                {DsseSignature{entry.signature, bundle.key_hint}}};
  return bundle;
}

}  // namespace countersign::bundle
