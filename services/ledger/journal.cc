#include "services/ledger/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"

namespace countersign::ledger {
namespace {

constexpr absl::string_view kMagic = "CSJ1";
// Begins every record of a segment, and is drawn anew for each: an entry that its author shaped
// like a record does not look like one.
constexpr size_t kMarkerBytes = 8;
constexpr size_t kSegmentHeaderBytes = 12;  // magic, marker
constexpr size_t kHeaderBytes = 16;         // marker, body length, CRC-32 of the body
constexpr absl::string_view kSuffix = ".journal";

uint32_t Crc(absl::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

struct Record {
  uint64_t first_index = 0;
  uint32_t count = 0;
  absl::string_view entries;  // (u16 length, bytes) each
  size_t bytes = 0;           // of the whole record
};

// Whether a whole, undamaged record stands at the front of `bytes`.
bool ParseRecord(absl::string_view bytes, absl::string_view marker, Record* record) {
  base::ByteReader reader(bytes);
  absl::string_view begin;
  uint32_t length;
  uint32_t crc;
  absl::string_view body;
  if (!reader.ReadBytes(kMarkerBytes, &begin) || begin != marker || !reader.ReadU32(&length) ||
      !reader.ReadU32(&crc) || !reader.ReadBytes(length, &body) || Crc(body) != crc) {
    return false;
  }
  base::ByteReader fields(body);
  if (!fields.ReadU64(&record->first_index) || !fields.ReadU32(&record->count)) return false;
  record->entries = fields.rest();
  record->bytes = kHeaderBytes + body.size();
  return true;
}

// Whether any whole record stands behind the front of `bytes`: then the front is damage, not a
// write that a crash cut short.
bool RecordFollows(absl::string_view bytes, absl::string_view marker) {
  Record record;
  for (size_t at = bytes.find(marker, 1); at != absl::string_view::npos;
       at = bytes.find(marker, at + 1)) {
    if (ParseRecord(bytes.substr(at), marker, &record)) return true;
  }
  return false;
}

absl::StatusOr<std::vector<uint64_t>> ListSegments(const std::string& directory) {
  std::vector<uint64_t> segments;
  std::error_code error;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::string_view digits = name;
    uint64_t first;
    if (absl::ConsumeSuffix(&digits, kSuffix) && absl::SimpleAtoi(digits, &first)) {
      segments.push_back(first);
    }
  }
  if (error) return base::ErrnoStatus(error.value(), absl::StrCat("list ", directory));
  std::sort(segments.begin(), segments.end());
  return segments;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& directory,
                                                       const Options& options, uint64_t from,
                                                       const EntryFn& replay) {
  RETURN_IF_ERROR(base::EnsureDirectory(directory, 0700));
  // A process that was killed between making the folder or a segment and synchronising what they
  // stand in has left that to do.
  RETURN_IF_ERROR(base::SyncDirectory(directory));
  RETURN_IF_ERROR(base::SyncDirectory(directory + "/.."));
  ASSIGN_OR_RETURN(std::vector<uint64_t> segments, ListSegments(directory));
  std::unique_ptr<Journal> journal(new Journal(directory, options));
  if (segments.empty()) {
    if (from != 0) {
      return absl::DataLossError(absl::StrCat("the journal ", directory,
                                              " is empty but must hold the entries from index ",
                                              from, " on: restore the data folder as it was"));
    }
    RETURN_IF_ERROR(journal->CheckReach());
    RETURN_IF_ERROR(journal->StartSegment());
    return journal;
  }
  if (segments.front() > from) {
    return absl::DataLossError(absl::StrCat(
        "the journal ", directory, " begins at index ", segments.front(),
        " but must hold the entries from index ", from, " on: restore the data folder as it was"));
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    // Whole segments below `from` need no reading.
    if (!last && segments[i + 1] <= from) continue;
    RETURN_IF_ERROR(journal->ReplaySegment(segments[i], last, from, replay));
    if (!last && journal->next_index_ != segments[i + 1]) {
      return absl::DataLossError(absl::StrCat(
          "the journal ", directory, " lacks the entries from index ", journal->next_index_, " to ",
          segments[i + 1], ": restore the data folder as it was"));
    }
  }
  if (journal->marker_.empty()) {
    // A crash came between the making of the last segment and its header.
    RETURN_IF_ERROR(journal->StartSegment());
    return journal;
  }
  const std::string path = journal->SegmentPath(segments.back());
  journal->fd_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (journal->fd_ < 0) return base::ErrnoStatus(errno, absl::StrCat("open ", path));
  // What was replayed may still be in the page cache alone: a process that was killed between its
  // write and its synchronisation leaves whole records that a power cut could yet take.
  if (fdatasync(journal->fd_) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("synchronise ", path));
  }
  journal->synchronisations_.fetch_add(1, std::memory_order_relaxed);
  return journal;
}

Journal::~Journal() { CloseSegment(); }

void Journal::CloseSegment() {
  if (fd_ < 0) return;
  // Unused room does no harm where it stays.
  [[maybe_unused]] const int cut = ftruncate(fd_, static_cast<off_t>(fd_bytes_));
  close(fd_);
}

std::string Journal::SegmentPath(uint64_t first_index) const {
  return absl::StrFormat("%s/%020d%s", directory_, first_index, kSuffix);
}

absl::Status Journal::ReplaySegment(uint64_t first_index, bool last, uint64_t from,
                                    const EntryFn& replay) {
  const std::string path = SegmentPath(first_index);
  ASSIGN_OR_RETURN(const std::string contents, base::ReadFile(path));
  next_index_ = first_index;
  fd_bytes_ = 0;
  marker_.clear();
  if (!absl::StartsWith(contents, kMagic) || contents.size() < kSegmentHeaderBytes) {
    // The header is synchronised before the first record is written.
    if (last && contents.size() <= kSegmentHeaderBytes) return CheckReach();
    return absl::DataLossError(absl::StrCat(path,
                                            " is not a journal segment: restore the data folder "
                                            "as it was"));
  }
  marker_ = contents.substr(kMagic.size(), kMarkerBytes);
  size_t offset = kSegmentHeaderBytes;
  size_t unused = 0;
  bool torn = false;
  while (offset < contents.size()) {
    const absl::string_view rest = absl::string_view(contents).substr(offset);
    Record record;
    if (!ParseRecord(rest, marker_, &record)) {
      unused = rest.size();
      if (rest.find_first_not_of('\0') == absl::string_view::npos) break;  // room made ahead
      if (!last || RecordFollows(rest, marker_)) {
        return absl::DataLossError(absl::StrCat("the journal segment ", path,
                                                " is damaged at offset ", offset,
                                                ": restore the data folder as it was"));
      }
      torn = true;
      break;
    }
    if (record.first_index != next_index_) {
      return absl::DataLossError(absl::StrCat(
          "the journal segment ", path, " has index ", record.first_index, " at offset ", offset,
          " where ", next_index_, " is due: restore the data folder as it was"));
    }
    base::ByteReader reader(record.entries);
    for (uint32_t i = 0; i < record.count; ++i) {
      uint16_t length;
      absl::string_view entry;
      if (!reader.ReadU16(&length) || !reader.ReadBytes(length, &entry)) {
        return absl::DataLossError(absl::StrCat("the journal segment ", path,
                                                " has a malformed record at offset ", offset));
      }
      if (next_index_ >= from) RETURN_IF_ERROR(replay(next_index_, entry));
      ++next_index_;
    }
    offset += record.bytes;
  }
  if (last) RETURN_IF_ERROR(CheckReach());
  if (torn) {
    base::Log(base::Severity::kWarning, "cut off a journal record that a crash left unfinished",
              {{"file", path}, {"offset", absl::StrCat(offset)}, {"bytes", absl::StrCat(unused)}});
  }
  if (last && unused != 0 && truncate(path.c_str(), static_cast<off_t>(offset)) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("truncate ", path));
  }
  fd_bytes_ = offset;
  room_end_ = offset;
  return absl::OkStatus();
}

absl::Status Journal::CheckReach() const {
  if (next_index_ >= options_.must_reach) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "the journal ", directory_, " ends at index ", next_index_, " but the log had entries up to ",
      options_.must_reach, ": restore the data folder as it was"));
}

absl::Status Journal::StartSegment() {
  const std::string path = SegmentPath(next_index_);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return base::ErrnoStatus(errno, absl::StrCat("create ", path));
  std::string marker = crypto::RandomBytes(kMarkerBytes);
  absl::Status status = WriteAll(fd, absl::StrCat(kMagic, marker));
  if (!status.ok()) {
    close(fd);
    return status;
  }
  // The kernel reports a failed synchronisation once; trying again would seem to succeed.
  if (fdatasync(fd) != 0) {
    status = base::ErrnoStatus(errno, absl::StrCat("synchronise ", path));
  } else {
    status = base::SyncDirectory(directory_);
  }
  if (!status.ok()) {
    close(fd);
    return Fail(status);
  }
  synchronisations_.fetch_add(2, std::memory_order_relaxed);
  CloseSegment();
  fd_ = fd;
  fd_bytes_ = kSegmentHeaderBytes;
  room_end_ = fd_bytes_;
  marker_ = std::move(marker);
  return absl::OkStatus();
}

absl::Status Journal::WriteAll(int fd, absl::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t wrote = write(fd, bytes.data(), bytes.size());
    if (wrote >= 0) {
      bytes.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno != EINTR) {
      return base::ErrnoStatus(errno, absl::StrCat("append to the journal in ", directory_));
    }
  }
  return absl::OkStatus();
}

absl::Status Journal::Fail(const absl::Status& status) {
  broken_ = absl::DataLossError(
      absl::StrCat("the journal's state on disk is unknown after a failure (", status.message(),
                   "): repair the disk and restart the ledger"));
  return broken_;
}

absl::Status Journal::WriteBuffer() {
  absl::Status failed;
  if (lseek(fd_, static_cast<off_t>(fd_bytes_), SEEK_SET) < 0) {
    failed = base::ErrnoStatus(errno, absl::StrCat("append to the journal in ", directory_));
  } else {
    failed = WriteAll(fd_, buffer_);
  }
  if (failed.ok()) return failed;
  if (ftruncate(fd_, static_cast<off_t>(fd_bytes_)) != 0) return Fail(failed);
  room_end_ = fd_bytes_;
  return failed;
}

absl::Status Journal::Append(absl::Span<const absl::string_view> entries) {
  if (!broken_.ok()) return broken_;
  if (fd_bytes_ >= options_.segment_bytes) RETURN_IF_ERROR(StartSegment());

  buffer_.assign(kHeaderBytes, '\0');
  base::AppendU64(&buffer_, next_index_);
  base::AppendU32(&buffer_, static_cast<uint32_t>(entries.size()));
  for (const absl::string_view entry : entries) {
    base::AppendU16(&buffer_, static_cast<uint16_t>(entry.size()));
    buffer_.append(entry.data(), entry.size());
  }
  const absl::string_view body = absl::string_view(buffer_).substr(kHeaderBytes);
  std::string header = marker_;
  base::AppendU32(&header, static_cast<uint32_t>(body.size()));
  base::AppendU32(&header, Crc(body));
  buffer_.replace(0, kHeaderBytes, header);

  const size_t record_bytes = buffer_.size();
  if (fd_bytes_ + record_bytes > room_end_ && record_bytes <= options_.room_bytes / 4) {
    buffer_.resize(record_bytes + options_.room_bytes, '\0');
  }
  absl::Status failed = WriteBuffer();
  if (!failed.ok() && broken_.ok() && buffer_.size() > record_bytes) {
    // The disk may have space for the record, though not for the room behind it.
    buffer_.resize(record_bytes);
    failed = WriteBuffer();
  }
  RETURN_IF_ERROR(failed);
  if (fdatasync(fd_) != 0) {
    failed = base::ErrnoStatus(errno, absl::StrCat("synchronise the journal in ", directory_));
    // Else a restart would read the record back from memory and take it for durable.
    [[maybe_unused]] const int cut = ftruncate(fd_, static_cast<off_t>(fd_bytes_));
    return Fail(failed);
  }
  synchronisations_.fetch_add(1, std::memory_order_relaxed);
  room_end_ = std::max(room_end_, fd_bytes_ + buffer_.size());
  fd_bytes_ += record_bytes;
  next_index_ += entries.size();
  constexpr size_t kKeepCapacity = 4 << 20;
  if (buffer_.capacity() > kKeepCapacity) std::string().swap(buffer_);
  return absl::OkStatus();
}

absl::Status Journal::DropBefore(uint64_t index) {
  ASSIGN_OR_RETURN(const std::vector<uint64_t> segments, ListSegments(directory_));
  for (size_t i = 0; i + 1 < segments.size() && segments[i + 1] <= index; ++i) {
    const std::string path = SegmentPath(segments[i]);
    if (unlink(path.c_str()) != 0) return base::ErrnoStatus(errno, absl::StrCat("delete ", path));
  }
  return absl::OkStatus();
}

}  // namespace countersign::ledger
