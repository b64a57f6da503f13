// Which of its authority's CRLs a certificate would stand in.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CRL_SHARD_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CRL_SHARD_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/digest.h"

namespace countersign::sign {

// The shard, from 0, of the certificate with this serial number (big-endian magnitude without
// leading zeros) when there are `shards` of them, at least 1: the first 64 bits of the serial's
// SHA-256, modulo their number. Serial numbers are the applicant's neither to choose nor to grind,
// so shards stay of one size. Pure.
inline int64_t CrlShardOf(absl::string_view serial, int32_t shards) {
  uint64_t hash = 0;
  const auto digest = crypto::Sha256(serial);
  for (int i = 0; i < 8; ++i) hash = hash << 8 | digest[i];
  return static_cast<int64_t>(hash % static_cast<uint64_t>(shards));
}

// The URL of a shard's CRL: `crl_url` of AuthoritySettings with the shard's number for `{shard}`.
inline std::string CrlUrlOf(absl::string_view crl_url, int64_t shard) {
  return absl::StrReplaceAll(crl_url, {{"{shard}", absl::StrCat(shard)}});
}

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CRL_SHARD_H_
