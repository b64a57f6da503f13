#include "cli/sign_client.h"

#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;

constexpr int kPageSize = 1000;

}  // namespace

absl::StatusOr<std::vector<pb::Key>> ListAllKeys(Context& context) {
  std::vector<pb::Key> keys;
  pb::ListKeysRequest request;
  request.set_parent(context.TenantName());
  request.set_page_size(kPageSize);
  do {
    pb::ListKeysResponse response;
    RETURN_IF_ERROR(CallSign(context, &pb::SignService::Stub::ListKeys, request, &response));
    keys.insert(keys.end(), response.keys().begin(), response.keys().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return keys;
}

absl::StatusOr<std::vector<pb::KeyVersion>> ListAllVersions(Context& context,
                                                            const std::string& key) {
  std::vector<pb::KeyVersion> versions;
  pb::ListKeyVersionsRequest request;
  request.set_parent(key);
  request.set_page_size(kPageSize);
  do {
    pb::ListKeyVersionsResponse response;
    RETURN_IF_ERROR(CallSign(context, &pb::SignService::Stub::ListKeyVersions, request, &response));
    versions.insert(versions.end(), response.key_versions().begin(), response.key_versions().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return versions;
}

}  // namespace countersign::cli
