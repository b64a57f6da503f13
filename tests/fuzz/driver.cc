// Runs LLVMFuzzerTestOneInput without libFuzzer, which gcc does not have: first each file of a
// corpus folder, then mutations of them, the same ones in every run.
//
//   <target> <corpus folder> [<mutations> [<seed>]]
//
// An input that crashes is written to $TEST_UNDECLARED_OUTPUTS_DIR/crash (or ./crash).

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxInputBytes = 64 * 1024;

// For the signal handler.
std::string crash_path;
const char* current_data = nullptr;
size_t current_size = 0;

extern "C" void SaveInputAndDie(int signal_number) {
  const int fd = open(crash_path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
  if (fd >= 0) {
    const ssize_t written = write(fd, current_data, current_size);
    (void)written;
    close(fd);
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void Run(const std::string& input) {
  current_data = input.data();
  current_size = input.size();
  // A copy of exactly this size, so that AddressSanitizer sees a read past the end.
  std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

class Mutator {
 public:
  Mutator(std::vector<std::string> corpus, uint64_t seed)
      : corpus_(std::move(corpus)), rng_(seed) {}

  std::string Next() {
    std::string input = Pick();
    for (size_t i = Below(4) + 1; i > 0; --i) Mutate(&input);
    if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
    return input;
  }

 private:
  size_t Below(size_t bound) { return static_cast<size_t>(rng_() % bound); }
  // A place in `text`, its end included.
  size_t Place(const std::string& text) { return Below(text.size() + 1); }
  const std::string& Pick() { return corpus_[Below(corpus_.size())]; }

  std::string Chunk(const std::string& text) {
    const size_t begin = Place(text);
    return text.substr(begin, Below(64) + 1);
  }

  void Mutate(std::string* input) {
    static const std::vector<std::string> kTokens = {"\n",
                                                     "\n\n",
                                                     " ",
                                                     "+",
                                                     "=",
                                                     "==",
                                                     "0",
                                                     "00",
                                                     "-1",
                                                     "/",
                                                     "x",
                                                     ".p/",
                                                     "\t",
                                                     "\r",
                                                     "9223372036854775807",
                                                     "9223372036854775808",
                                                     "18446744073709551615",
                                                     "\xe2\x80\x94 ",
                                                     "\xc2\xa0",
                                                     "\xff",
                                                     "\xc3",
                                                     std::string(1, '\0'),
                                                     "{",
                                                     "}",
                                                     "\"",
                                                     "\\u0000",
                                                     "AAAA",
                                                     "A",
                                                     std::string(300, 'A'),
                                                     "none",
                                                     "all",
                                                     "any",
                                                     "#"};
    switch (Below(9)) {
      case 0:  // flip a bit
        if (!input->empty()) (*input)[Below(input->size())] ^= static_cast<char>(1 << Below(8));
        break;
      case 1:  // any byte
        if (!input->empty()) (*input)[Below(input->size())] = static_cast<char>(Below(256));
        break;
      case 2:  // a token in between
        input->insert(Place(*input), kTokens[Below(kTokens.size())]);
        break;
      case 3: {  // a token over something
        const std::string& token = kTokens[Below(kTokens.size())];
        input->replace(Place(*input), Below(token.size() + 2), token);
        break;
      }
      case 4:  // cut out
        input->erase(Place(*input), Below(64) + 1);
        break;
      case 5:  // cut off
        input->resize(Place(*input));
        break;
      case 6:  // say something twice
        input->insert(Place(*input), Chunk(*input));
        break;
      case 7:  // say something of another
        input->insert(Place(*input), Chunk(Pick()));
        break;
      case 8: {  // go on as another
        const std::string& other = Pick();
        input->resize(Place(*input));
        input->append(other.substr(Place(other)));
        break;
      }
    }
  }

  const std::vector<std::string> corpus_;
  std::mt19937_64 rng_;
};

std::vector<std::string> ReadCorpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s <corpus folder> [<mutations> [<seed>]]\n", argv[0]);
    return 2;
  }
  const uint64_t mutations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20000;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;
  const char* outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  crash_path = std::string(outputs == nullptr ? "." : outputs) + "/crash";
  for (int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(number, SaveInputAndDie);

  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "the corpus %s is empty\n", argv[1]);
    return 1;
  }
  for (const std::string& input : corpus) Run(input);
  Run("");
  Mutator mutator(corpus, seed);
  for (uint64_t i = 0; i < mutations; ++i) Run(mutator.Next());
  std::printf("%zu corpus files and %llu mutations of seed %llu\n", corpus.size(),
              static_cast<unsigned long long>(mutations), static_cast<unsigned long long>(seed));
  return 0;
}
