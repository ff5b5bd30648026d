# Shared by the scripts beside it; sourced, not run. Leaves the shell in the repository's root.
# shellcheck shell=bash

set -euo pipefail
script=$(cd "$(dirname "$0")" && pwd)/${0##*/}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Says why and stops.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# The comment at the top of the running script is its help.
print_help() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$script"
}

# Builds the binary and leaves its path in `smache`. SMACHE_PROFILE picks the Cargo profile (default: dev, which builds
# fastest; `release` runs fastest). SMACHE_BIN names a binary that is built already. Neither is a setting of the node,
# which would warn of them, so they are not passed on.
build_smache() {
  local profile=${SMACHE_PROFILE:-dev} directory
  smache=${SMACHE_BIN:-}
  unset SMACHE_PROFILE SMACHE_BIN
  if [[ -n $smache ]]; then
    [[ -x $smache ]] || die "SMACHE_BIN is $smache, which is not a program"
    return
  fi
  command -v cargo >/dev/null || die "cargo is missing: install Rust first"
  cargo build --locked --profile "$profile" --bin smache
  directory=$profile
  [[ $profile == dev ]] && directory=debug
  smache=${CARGO_TARGET_DIR:-target}/$directory/smache
}

# A TCP port from 1 to 65535, or the end.
require_port() {
  if ! [[ $2 =~ ^[0-9]{1,5}$ ]] || ((10#$2 < 1 || 10#$2 > 65535)); then
    die "$1 must be a port from 1 to 65535, not '$2'"
  fi
}
