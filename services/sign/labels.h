// Labels of resources: checked, and as the text that a row keeps.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_LABELS_H_
#define COUNTERSIGN_SERVICES_SIGN_LABELS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"

namespace countersign::sign {

using Labels = google::protobuf::Map<std::string, std::string>;

// OK for at most 64 labels, keys of 1 to 63 characters of a-z 0-9 _ - . /, values of at most 256
// bytes. InvalidArgument, naming `field`, otherwise.
absl::Status CheckLabels(absl::string_view field, const Labels& labels);

// A JSON object, and its inverse. What is no label in `text` is passed over.
std::string FormatLabels(const Labels& labels);
void ParseLabels(absl::string_view text, Labels* labels);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_LABELS_H_
