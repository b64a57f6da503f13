// free and realloc that overwrite what they give back, for the whole process.
//
// PINs and keys come in messages whose buffers belong to gRPC and protobuf, which do not wipe them.
// Linked into the agent's binary alone. Sanitizers bring an allocator of their own, which must
// stay.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#include <malloc.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>

extern "C" {

void __libc_free(void* memory);

// Visible to the shared libraries, whose buffers these are.
__attribute__((visibility("default"))) void free(void* memory) noexcept {
  if (memory != nullptr) explicit_bzero(memory, malloc_usable_size(memory));
  __libc_free(memory);
}

__attribute__((visibility("default"))) void* realloc(void* memory, size_t size) noexcept {
  if (memory == nullptr) return malloc(size);
  const size_t usable = malloc_usable_size(memory);
  if (size != 0 && size <= usable && usable - size < 256) return memory;
  void* moved = size == 0 ? nullptr : malloc(size);
  if (moved == nullptr && size != 0) return nullptr;
  if (moved != nullptr) memcpy(moved, memory, std::min(size, usable));
  free(memory);
  return moved;
}

}  // extern "C"

#endif
