// The call that work is done for.
#ifndef COUNTERSIGN_SERVICES_SIGN_CALL_H_
#define COUNTERSIGN_SERVICES_SIGN_CALL_H_

namespace grpc {
class CallbackServerContext;
}

namespace countersign::sign {

// The call on whose behalf something is done; null when there is none. It ends, or is cancelled, no
// later than the work for it.
using Call = const grpc::CallbackServerContext*;

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CALL_H_
