# Shell functions that the scripts share; sourced, not run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${COUNTERSIGN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/countersign}
export COUNTERSIGN_TOOLS=${COUNTERSIGN_TOOLS:-$CACHE/tools}
export PATH=$COUNTERSIGN_TOOLS/bin:$COUNTERSIGN_TOOLS/go/bin:$COUNTERSIGN_TOOLS/node/bin:$PATH
LOG=$CACHE/log
mkdir -p "$CACHE" "$COUNTERSIGN_TOOLS/bin" "$LOG"
STARTED=$SECONDS

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  BOLD=$'\033[1m' DIM=$'\033[2m' RED=$'\033[31m' RESET=$'\033[0m'
else
  BOLD='' DIM='' RED='' RESET=''
fi

# Says which step begins; the name is shown again if it fails.
step() {
  STEP=$1
  printf '%s==>%s %s%s%s %s(%d s)%s\n' "$BOLD" "$RESET" "$BOLD" "$STEP" "$RESET" \
    "$DIM" $((SECONDS - STARTED)) "$RESET"
}

on_error() {
  printf '%sFailed%s at: %s\n' "$RED" "$RESET" "${STEP:-the start}" >&2
}
trap on_error ERR

die() {
  printf '%s%s%s\n' "$RED" "$1" "$RESET" >&2
  trap - ERR
  on_error
  exit 1
}

# Runs a command with its output in a log file; shows the end of it when the command fails.
quietly() {
  local log=$LOG/$1.log
  shift
  if ! "$@" > "$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "the whole output is in $log"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    die "root or sudo is needed to run: $*"
  fi
}

# Installs what bazel/packages.txt lists for the given purposes and is not there yet.
install_packages() {
  local purposes=" $* " missing=() purpose package condition
  while read -r purpose package condition; do
    case $purpose in '' | '#'*) continue ;; esac
    [[ $purposes == *" $purpose "* ]] || continue
    if [ -n "$condition" ] && command -v "${condition#unless=}" > /dev/null; then continue; fi
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] \
      || missing+=("$package")
  done < "$ROOT/bazel/packages.txt"
  [ ${#missing[@]} = 0 ] && return
  printf '    %s\n' "${missing[*]}" | fold -s -w 96
  quietly apt-update as_root apt-get -q update
  quietly apt-install as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends "${missing[@]}"
}

# bazel, on the Java that it needs, with a cache outside the tree that every clone shares. Progress is
# its own on a terminal, and a line now and then elsewhere.
run_bazel() {
  local command=$1 java=/usr/lib/jvm/java-17-openjdk-$(dpkg --print-architecture) progress=()
  shift
  [ -t 2 ] || progress=(--show_progress_rate_limit=20)
  (cd "$ROOT" && bazel --server_javabase="$java" "$command" --disk_cache="$CACHE/bazel" \
    "${progress[@]}" "$@")
}
