# What the tests of this folder share; sourced, not run. Every process that a test starts is stopped
# when it ends, each by its own id.

set -euo pipefail

bin_dir=$TEST_SRCDIR/$TEST_WORKSPACE
here=$bin_dir/tests/conformance
countersign=$bin_dir/cli/countersign
tools=${COUNTERSIGN_TOOLS:-$HOME/.cache/countersign/tools}
PATH=$tools/bin:$tools/go/bin:$tools/node/bin:$PATH
work=$(mktemp -d "$TEST_TMPDIR/run.XXXXXX")
declare -A pid_of=() port_of=()

fail() {
  echo "FAILED: $*" >&2
  local log
  for log in "$work"/*.log; do
    [ -s "$log" ] && printf -- '--- %s\n' "$log" >&2 && tail -n 30 "$log" >&2
  done
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# A suite under `countersign up` stops its own on TERM; so does every service. Peers hold nothing that
# anybody will read. What has not ended in ten seconds is killed.
end_all() {
  local pid end=$((SECONDS + 10))
  for pid in "${pid_of[@]}"; do kill -TERM "$pid" 2> /dev/null || true; done
  for pid in "${pid_of[@]}"; do
    while kill -0 "$pid" 2> /dev/null && [ $SECONDS -lt $end ]; do sleep 0.05; done
    kill -KILL "$pid" 2> /dev/null || true
    wait "$pid" 2> /dev/null || true
  done
}
trap end_all EXIT

require() {
  local tool
  for tool in "$@"; do
    command -v "$tool" > /dev/null || fail "$tool is missing: run scripts/install-tools"
  done
}

# start NAME COMMAND…: in the background, its output in NAME.log.
start() {
  local name=$1
  shift
  "$@" >> "$work/$name.log" 2>&1 &
  pid_of[$name]=$!
}

# stop NAME: one of the suite, which must end well.
stop() {
  kill -TERM "${pid_of[$1]}"
  wait "${pid_of[$1]}" || fail "$1 stopped with $?"
  unset "pid_of[$1]"
}

# crash NAME
crash() {
  kill -KILL "${pid_of[$1]}"
  wait "${pid_of[$1]}" 2> /dev/null || true
  unset "pid_of[$1]"
}

# eventually NAME COMMAND…: until the command succeeds; false if NAME ends before, or after a minute.
eventually() {
  local name=$1 i
  shift
  for ((i = 0; i < 1200; i++)); do
    if "$@"; then return; fi
    kill -0 "${pid_of[$name]}" 2> /dev/null || return 1
    sleep 0.05
  done
  return 1
}

# start_service NAME SERVICE FLAG…: a service of the suite on free ports, its data in the folder NAME.
start_service() {
  local name=$1 service=$2
  shift 2
  rm -f "$work/$name.ports"
  start "$name" "$bin_dir/services/$service/countersign-$service" --data "$work/$name" \
    --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
    --port-file "$work/$name.ports" "$@"
  eventually "$name" test -s "$work/$name.ports" || fail "$name did not start"
}

# address NAME grpc|http: of a service.
address() {
  echo "127.0.0.1:$(jq -er ".$2" "$work/$1.ports")"
}

listens() {
  ss -Hltnp "sport = :$2" | grep -q "pid=${pid_of[$1]},"
}

# start_peer NAME COMMAND…: another's program that takes a port and does not tell which it was given:
# PORT in its arguments becomes a free one, the same one again after a restart. It is below those that
# connections get, so that none takes it meanwhile.
start_peer() {
  local name=$1 port tries
  shift
  for ((tries = 0; tries < 20; tries++)); do
    port=${port_of[$name]:-$((20000 + RANDOM % 12000))}
    start "$name" "${@//PORT/$port}"
    if eventually "$name" listens "$name" "$port"; then
      port_of[$name]=$port
      return
    fi
    kill -KILL "${pid_of[$name]}" 2> /dev/null || true
    wait "${pid_of[$name]}" 2> /dev/null || true
    unset "pid_of[$name]"
    grep -q 'listen' "$work/$name.log" || break
  done
  fail "$name did not start"
}

# Calls the ledger NAME: cs NAME COMMAND…
cs() {
  local name=$1
  shift
  "$countersign" --data "$work/cli" --endpoint "ledger=$(address "$name" grpc)" "$@"
}

# append NAME WAIT FIRST LAST: the entries "entry FIRST" to "entry LAST"; prints the checkpoint that
# the answer bears.
append() {
  "$here/append_entries" "$(address "$1" grpc)" "$2" "$3" "$4"
}
