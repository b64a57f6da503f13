// The pool's cards as sub-keys' issuers.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_CARDS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_CARDS_H_

#include "services/yubikey-agent/sub_key_issuer.h"

namespace countersign::yubikey {

class CardPool;

// Options that issue by the cards of `pool`, and by `authority` when it is not null. Both must
// outlive the issuer.
SubKeyIssuer::Options IssuerOverPool(CardPool* pool, SubKeyAuthority* authority);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_CARDS_H_
