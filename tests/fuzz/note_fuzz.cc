#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/note/signed_note.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace note = countersign::note;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto parsed = note::ParseNote(input); parsed.ok()) {
    Holds(note::FormatNote(*parsed) == input, "a note has one text");
    Holds(!parsed->text.empty() && parsed->text.back() == '\n',
          "a note's text ends with a newline");
    Holds(!parsed->signatures.empty(), "a note is signed");
    for (const note::NoteSignature& signature : parsed->signatures) {
      Holds(note::IsValidKeyName(signature.name), "a signature has a valid name");
      Holds(!signature.signature.empty(), "a signature is not empty");
    }
    Holds(!note::VerifyNote(*parsed, {}).ok(), "nobody's keys verify nothing");
  }
  if (const auto lines = note::ParseSignatureLines(input); lines.ok()) {
    std::string text;
    for (const note::NoteSignature& line : *lines) text += note::FormatSignatureLine(line);
    Holds(text == input, "signature lines have one text");
  }
  return 0;
}
