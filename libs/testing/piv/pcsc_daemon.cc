#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/subprocess.h"
#include "libs/testing/eventually.h"
#include "libs/testing/piv/virtual_reader.h"

namespace countersign::testing::piv {
namespace {

constexpr char kPcscd[] = "/usr/sbin/pcscd";
constexpr char kDriver[] = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
// pcscd has room for 16, and vpcd makes two of each entry.
constexpr int kMaxReaders = 8;
// The folder of pcscd's socket and of its process id, compiled into it.
constexpr absl::string_view kRunFolder = "/run/pcscd";

// Whether nobody listens on `port` now.
bool IsFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return free;
}

// Even ports, each with the next one free too: vpcd's second slot takes it. They are below those
// that connections get, so that none takes one meanwhile.
std::vector<int> FreePorts(int count) {
  std::random_device random;
  std::set<int> ports;
  while (static_cast<int>(ports.size()) < count) {
    const int port = 20000 + 2 * static_cast<int>(random() % 6000);
    if (IsFree(port) && IsFree(port + 1)) ports.insert(port);
  }
  return {ports.begin(), ports.end()};
}

// The inodes of sockets that listen, by their port.
std::set<std::pair<int, std::string>> ListeningSockets() {
  std::set<std::pair<int, std::string>> sockets;
  const std::string table = base::ReadFile("/proc/net/tcp").value_or("");
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    constexpr absl::string_view kListen = "0A";
    const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int port = 0;
    if (fields.size() > 9 && fields[3] == kListen &&
        absl::SimpleHexAtoi(fields[1].substr(fields[1].find(':') + 1), &port)) {
      sockets.emplace(port, fields[9]);
    }
  }
  return sockets;
}

// The inodes of a process's sockets.
std::set<std::string> SocketsOf(pid_t pid) {
  std::set<std::string> inodes;
  std::error_code error;
  const std::string folder = absl::StrCat("/proc/", pid, "/fd");
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (absl::StartsWith(target, "socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  return inodes;
}

bool Answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answers = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return answers;
}

// A new folder whose name is as long as kRunFolder.
absl::StatusOr<std::string> MakeRunFolder() {
  constexpr absl::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  while (true) {
    std::string path = "/tmp/";
    while (path.size() < kRunFolder.size()) path.push_back(kLetters[random() % kLetters.size()]);
    if (mkdir(path.c_str(), 0755) == 0) return path;
    if (errno != EEXIST) return base::ErrnoStatus(errno, absl::StrCat("make ", path));
  }
}

}  // namespace

struct PcscDaemon::Impl {
  ~Impl() {
    process.reset();
    std::error_code ignored;
    for (const std::string& path : {folder, run_folder}) {
      if (!path.empty()) std::filesystem::remove_all(path, ignored);
    }
  }

  absl::Status MakeFolder();
  absl::Status Configure();
  absl::Status Launch();
  // Whether it answers and holds all ports itself.
  bool Ready() const;
  std::string log() const { return base::ReadFile(folder + "/log").value_or(""); }

  int readers = 0;
  std::string folder;
  std::string run_folder;
  std::string socket_path;
  std::vector<int> ports;
  std::unique_ptr<runtime::Subprocess> process;
};

absl::Status PcscDaemon::Impl::MakeFolder() {
  // Not below $TEST_TMPDIR, which may be too deep for a Unix socket.
  std::string name = "/tmp/countersign-pcsc.XXXXXX";
  if (mkdtemp(name.data()) == nullptr) return base::ErrnoStatus(errno, absl::StrCat("make ", name));
  folder = name;
  ASSIGN_OR_RETURN(run_folder, MakeRunFolder());
  socket_path = run_folder + "/pcscd.comm";
  // The machine's own pcscd, but for where it is met: so that neither the machine's nor other
  // tests' are in its way, and no privilege is needed.
  ASSIGN_OR_RETURN(std::string program, base::ReadFile(kPcscd));
  if (absl::StrReplaceAll({{kRunFolder, run_folder}}, &program) == 0) {
    return absl::UnavailableError(
        absl::StrCat(kPcscd, " does not keep its socket in ", kRunFolder, ": it cannot be moved"));
  }
  RETURN_IF_ERROR(base::WriteFileAtomically(folder + "/pcscd", program, 0755));
  for (int i = 0; i < readers; ++i) {
    // The dynamic linker loads a file once, and the driver keeps its reader in globals.
    std::error_code error;
    std::filesystem::copy_file(kDriver, absl::StrCat(folder, "/vpcd", i, ".so"), error);
    if (error) return base::ErrnoStatus(error.value(), absl::StrCat("copy ", kDriver));
  }
  return absl::OkStatus();
}

absl::Status PcscDaemon::Impl::Configure() {
  ports = FreePorts(readers);
  std::string config;
  for (int i = 0; i < readers; ++i) {
    absl::StrAppendFormat(&config,
                          "FRIENDLYNAME \"Countersign test reader %d\"\n"
                          "DEVICENAME /dev/null:0x%X\n"
                          "LIBPATH %s/vpcd%d.so\n"
                          "CHANNELID 0x%X\n\n",
                          i, ports[i], folder, i, ports[i]);
  }
  return base::WriteFileAtomically(folder + "/reader.conf", config);
}

bool PcscDaemon::Impl::Ready() const {
  const std::set<std::string> own = SocketsOf(process->pid());
  size_t listening = 0;
  for (const auto& [port, inode] : ListeningSockets()) {
    const int even = port - port % 2;
    listening +=
        own.count(inode) != 0 && std::find(ports.begin(), ports.end(), even) != ports.end();
  }
  return listening == 2 * ports.size() && Answers(socket_path);
}

absl::Status PcscDaemon::Impl::Launch() {
  // What one that was killed left behind would make the next one refuse to start.
  std::error_code ignored;
  std::filesystem::remove_all(run_folder, ignored);
  RETURN_IF_ERROR(base::EnsureDirectory(run_folder));
  runtime::SubprocessOptions options;
  options.binary = folder + "/pcscd";
  options.args = {"--foreground", "--config", folder + "/reader.conf"};
  options.log_file = folder + "/log";
  ASSIGN_OR_RETURN(process, runtime::Subprocess::Start(options));
  Eventually([this] { return !process->Running() || Ready(); }, /*seconds=*/20);
  if (process->Running() && Ready()) return absl::OkStatus();
  process.reset();
  return absl::UnavailableError(absl::StrCat("pcscd does not answer:\n", log()));
}

PcscDaemon::PcscDaemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PcscDaemon::~PcscDaemon() = default;

absl::StatusOr<std::unique_ptr<PcscDaemon>> PcscDaemon::Start(int readers) {
  if (readers < 1 || readers > kMaxReaders) {
    return absl::InvalidArgumentError(
        absl::StrCat("pcscd has from 1 to ", kMaxReaders, " readers"));
  }
  for (const char* file : {kPcscd, kDriver}) {
    if (!base::FileExists(file)) {
      return absl::UnavailableError(
          absl::StrCat(file, " is missing: install pcscd and vsmartcard-vpcd"));
    }
  }
  auto impl = std::make_unique<Impl>();
  impl->readers = readers;
  RETURN_IF_ERROR(impl->MakeFolder());
  // Another test may take a port after it was found free.
  absl::Status status;
  for (int tries = 0; tries < 3; ++tries) {
    RETURN_IF_ERROR(impl->Configure());
    status = impl->Launch();
    if (status.ok()) return std::unique_ptr<PcscDaemon>(new PcscDaemon(std::move(impl)));
  }
  return status;
}

const std::string& PcscDaemon::SocketPath() const { return impl_->socket_path; }

int PcscDaemon::port(int i) const { return impl_->ports.at(i); }

absl::Status PcscDaemon::Restart() {
  Stop();
  return impl_->Launch();
}

void PcscDaemon::Stop() { impl_->process.reset(); }

}  // namespace countersign::testing::piv
