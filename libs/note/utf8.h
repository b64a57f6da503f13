// UTF-8 (RFC 3629), as signed notes need it.
#ifndef COUNTERSIGN_LIBS_NOTE_UTF8_H_
#define COUNTERSIGN_LIBS_NOTE_UTF8_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace countersign::note {

// Takes the code point at the front of `*text` off. False, leaving `*text`, when there is none, or
// no well-formed one: overlong, a surrogate, above U+10FFFF or cut short.
bool ConsumeCodePoint(absl::string_view* text, uint32_t* code_point);

bool IsUtf8(absl::string_view text);

// Whether Unicode gives the code point the property White_Space.
bool IsUnicodeSpace(uint32_t code_point);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_UTF8_H_
