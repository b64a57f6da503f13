// The SQL of PostgresLogStore, apart so that tests can ask how the server would run it.
#ifndef COUNTERSIGN_SERVICES_LEDGER_POSTGRES_STATEMENTS_H_
#define COUNTERSIGN_SERVICES_LEDGER_POSTGRES_STATEMENTS_H_

#include "absl/strings/string_view.h"

namespace countersign::ledger::sql {

// Stands first in every snapshot that reads entries, even before kByIndex: LOCK alone takes no
// snapshot. One that was taken before it had waited for a month that moves would show neither the
// table that was dropped nor the rows of the one in its place.
inline constexpr absl::string_view kAwaitMoves = "LOCK TABLE ledger_entries IN ACCESS SHARE MODE";

// Stands before all look-ups of a transaction, which go by an index, whatever the statistics say: a
// partition that was empty when they were gathered would be read from end to end, and plans that
// are kept would go on doing it.
inline constexpr absl::string_view kByIndex =
    "SELECT set_config('enable_seqscan', 'off', true), "
    "set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), "
    "set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true), "
    "set_config('max_parallel_workers_per_gather', '0', true), "
    "set_config('plan_cache_mode', 'force_generic_plan', true)";

// And second in those that write: durable whatever the server's default is, and a ledger that hangs
// while it holds the head is ended.
inline constexpr absl::string_view kDurably =
    "SELECT set_config('idle_in_transaction_session_timeout', '10s', true), "
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' WHEN 'local' THEN 'on' "
    "ELSE current_setting('synchronous_commit') END, true)";

// Which of the $2 hashes that are packed in $1 log $3 has: each one's place in $1, and its index.
// OFFSET 0 has the look-up done for each hash, and not for each entry of the log; log_id + 0 keeps
// it from going by the primary key, whose beginning fits all entries of the log.
inline constexpr absl::string_view kFindDuplicates =
    "SELECT i, e.sequence_number FROM generate_series(0::BIGINT, $2::BIGINT - 1) AS i "
    "CROSS JOIN LATERAL (SELECT sequence_number FROM ledger_entries "
    "WHERE entry_hash = substring($1::BYTEA FROM (i * 32 + 1)::INTEGER FOR 32) "
    "AND log_id + 0 = $3 OFFSET 0) AS e";

inline constexpr absl::string_view kFind =
    "SELECT sequence_number FROM ledger_entries WHERE entry_hash = $2 AND log_id + 0 = $1";

// Waits until whoever appends has committed. The last column is the server's clock.
inline constexpr absl::string_view kLockHead =
    "SELECT size, root, last_timestamp, frozen, "
    "(extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT "
    "FROM ledger_logs WHERE log_id = $1 FOR UPDATE";

inline constexpr absl::string_view kReadHead =
    "SELECT size, root, last_timestamp, frozen, published_size, publish_time, checkpoint "
    "FROM ledger_logs WHERE log_id = $1";

inline constexpr absl::string_view kMoveHead =
    "UPDATE ledger_logs SET size = $2, root = $3, last_timestamp = $4 WHERE log_id = $1";

inline constexpr absl::string_view kPublish =
    "UPDATE ledger_logs SET published_size = $2, publish_time = $3, checkpoint = $4 "
    "WHERE log_id = $1 AND published_size <= $2 AND size >= $2";

inline constexpr absl::string_view kFreeze = "UPDATE ledger_logs SET frozen = 1 WHERE log_id = $1";

// The leaf hashes from index $2 on, of which none is older than $3: how many, and all packed.
inline constexpr absl::string_view kNewHashes =
    "SELECT count(*), string_agg(entry_hash, ''::BYTEA ORDER BY sequence_number) "
    "FROM (SELECT sequence_number, entry_hash FROM ledger_entries "
    "WHERE log_id = $1 AND sequence_number >= $2 AND timestamp >= $3 "
    "ORDER BY sequence_number LIMIT $4) AS entries";

// The leaf hashes from index $2 up to $3, packed.
inline constexpr absl::string_view kEntryHashes =
    "SELECT string_agg(entry_hash, ''::BYTEA ORDER BY sequence_number) FROM ledger_entries "
    "WHERE log_id = $1 AND sequence_number >= $2 AND sequence_number < $3";

// The same, of those that were appended at $4.
inline constexpr absl::string_view kHashesAppendedAt =
    "SELECT string_agg(entry_hash, ''::BYTEA ORDER BY sequence_number) FROM ledger_entries "
    "WHERE log_id = $1 AND sequence_number >= $2 AND sequence_number < $3 AND timestamp = $4";

// The entries from index $2 up to $3.
inline constexpr absl::string_view kReadEntries =
    "SELECT entry FROM ledger_entries "
    "WHERE log_id = $1 AND sequence_number >= $2 AND sequence_number < $3 ORDER BY sequence_number";

// The roots of the full tiles of level $2 from $3 up to $4, packed.
inline constexpr absl::string_view kTileRoots =
    "SELECT string_agg(root, ''::BYTEA ORDER BY tile_index) FROM ledger_tiles "
    "WHERE log_id = $1 AND level = $2 AND tile_index >= $3 AND tile_index < $4";

inline constexpr absl::string_view kReadTile =
    "SELECT hashes FROM ledger_tiles WHERE log_id = $1 AND level = $2 AND tile_index = $3";

inline constexpr absl::string_view kInsertTile =
    "INSERT INTO ledger_tiles (log_id, level, tile_index, root, hashes) "
    "VALUES ($1, $2, $3, $4, $5)";

}  // namespace countersign::ledger::sql

#endif  // COUNTERSIGN_SERVICES_LEDGER_POSTGRES_STATEMENTS_H_
