// Lists of extensions (RFC 5280 section 4.2), as certificates and certification requests hold them.
#ifndef COUNTERSIGN_LIBS_PKI_EXTENSIONS_H_
#define COUNTERSIGN_LIBS_PKI_EXTENSIONS_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/pki/certificate.h"
#include "libs/pki/der.h"
#include "libs/pki/general_name.h"

namespace countersign::pki {

// One Extension off the front of `list`. False when it does not parse.
bool ReadExtension(DerReader* list, absl::string_view* oid, bool* critical,
                   absl::string_view* value);

// The extensions in `list`, the contents of an Extensions SEQUENCE. InvalidArgument, naming the
// extension, for what ParseCertificate refuses.
absl::StatusOr<Extensions> ParseExtensions(DerReader list);

// Writes an Extension around what is added to `out` while it lives; `critical` false is left out.
class ExtensionWriter {
 public:
  ExtensionWriter(absl::string_view oid, bool critical, DerWriter* out);
  ~ExtensionWriter();
  ExtensionWriter(const ExtensionWriter&) = delete;
  ExtensionWriter& operator=(const ExtensionWriter&) = delete;

 private:
  DerWriter* const out_;
  size_t extension_;
  size_t value_;
};

// The subjectAltName extension, whole.
void WriteSubjectAltNames(const std::vector<GeneralName>& names, bool critical, DerWriter* out);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_EXTENSIONS_H_
