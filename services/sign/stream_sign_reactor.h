// The bidirectional stream of StreamSign.
#ifndef COUNTERSIGN_SERVICES_SIGN_STREAM_SIGN_REACTOR_H_
#define COUNTERSIGN_SERVICES_SIGN_STREAM_SIGN_REACTOR_H_

#include "countersign/sign/v1/sign.grpc.pb.h"
#include "services/sign/signing.h"

namespace countersign::sign {

// Serves one stream: reads on while earlier requests are being signed, answers each as soon as it
// is done, and stops reading while 1,024 of them, or 16 MiB, wait for their answer to be written.
// The reactor owns itself until the call is over; `signing` must outlive it.
grpc::ServerBidiReactor<v1::StreamSignRequest, v1::StreamSignResponse>* StartStreamSign(
    Signing* signing, grpc::CallbackServerContext* context);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_STREAM_SIGN_REACTOR_H_
