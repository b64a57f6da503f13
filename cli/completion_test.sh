#!/usr/bin/env bash
# The bash script completes commands and options at each level; all three scripts are well-formed
# as far as their shell is here to say so.
set -euo pipefail
countersign=$1

fail() {
  echo "FAILED: $1" >&2
  exit 1
}

source <("$countersign" completion bash)

# The words offered when the cursor is at the last of the arguments.
offered() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _countersign
  echo "${COMPREPLY[*]}"
}

[ "$(offered countersign keys cr)" = create ] || fail "keys cr"
[ "$(offered countersign ledger proof con)" = consistency ] || fail "ledger proof con"
[ "$(offered countersign cert re)" = "release renew revoke" ] || fail "cert re"
[ "$(offered countersign ocsp status --iss)" = --issuer ] || fail "ocsp status --iss"
[ "$(offered countersign keys create --algo)" = --algorithm ] || fail "keys create --algo"
[ "$(offered countersign sign --led)" = --ledger ] || fail "sign --led"
[ "$(offered countersign keys create name --endp)" = --endpoint ] || fail "global options"
[ "$(offered countersign yubikey un)" = unlock ] || fail "yubikey un"
[ "$(offered countersign yubikey subkey re)" = revoke ] || fail "yubikey subkey re"
[ "$(offered countersign yubikey generate 1/9c --touch)" = --touch-policy ] || fail "yubikey generate"
[ "$(offered countersign yubikey pin change --yubikey-k)" = --yubikey-key ] || fail "yubikey options"
[[ " $(offered countersign '') " == *" verify "* ]] || fail "commands"

for shell in bash zsh fish; do
  "$countersign" completion "$shell" > "$TEST_TMPDIR/$shell"
  grep -q 'keys create' "$TEST_TMPDIR/$shell" || fail "$shell misses keys create"
  if command -v "$shell" > /dev/null; then "$shell" -n "$TEST_TMPDIR/$shell" || fail "$shell -n"; fi
done
if "$countersign" completion tcsh 2> /dev/null; then fail "tcsh"; else [ $? = 2 ] || fail "exit code"; fi
