// RETURN_IF_ERROR and ASSIGN_OR_RETURN: early return of a failed absl::Status.
#ifndef COUNTERSIGN_LIBS_BASE_STATUS_MACROS_H_
#define COUNTERSIGN_LIBS_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define COUNTERSIGN_CONCAT_INNER_(a, b) a##b
#define COUNTERSIGN_CONCAT_(a, b) COUNTERSIGN_CONCAT_INNER_(a, b)

// Returns from the enclosing function when `expr`, an absl::Status, is not OK.
#define RETURN_IF_ERROR(expr)                                         \
  do {                                                                \
    if (::absl::Status status_macro_ = (expr); !status_macro_.ok()) { \
      return status_macro_;                                           \
    }                                                                 \
  } while (false)

// Evaluates `rexpr`, an absl::StatusOr<T>: returns its status when it failed, else moves the value
// into `lhs` (a declaration or an assignable expression; one with a comma goes in parentheses).
#define ASSIGN_OR_RETURN(lhs, rexpr) \
  COUNTERSIGN_ASSIGN_OR_RETURN_(COUNTERSIGN_CONCAT_(statusor_macro_, __LINE__), lhs, rexpr)

#define COUNTERSIGN_ASSIGN_OR_RETURN_(statusor, lhs, rexpr) \
  auto statusor = (rexpr);                                  \
  if (!statusor.ok()) return std::move(statusor).status();  \
  lhs = *std::move(statusor)

#endif  // COUNTERSIGN_LIBS_BASE_STATUS_MACROS_H_
