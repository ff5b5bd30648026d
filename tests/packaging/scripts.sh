#!/usr/bin/env bash
# The scripts as a newcomer would use them, without Docker: the secret, four nodes behind the system's nginx, the curl
# scripts through it and through every node, and an end that leaves no process behind.
#
#   tests/packaging/scripts.sh [BINARY]      (default: target/release/smache)
#
# BASE_PORT (15000) and LB_PORT (15080) set the ports. Needs nginx and curl.

set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  printf 'scripts.sh: %s\n' "$*" >&2
  exit 1
}

binary=$(realpath "${1:-target/release/smache}")
[[ -x $binary ]] || fail "$binary is missing: cargo build --release"
export BASE_PORT=${BASE_PORT:-15000} LB_PORT=${LB_PORT:-15080}
directory=$(mktemp -d)
services=

clean_up() {
  local status=$?
  trap '' INT TERM
  if [[ -n $services ]]; then
    kill "$services" 2>/dev/null || true
    wait "$services" 2>/dev/null || true
  fi
  if ((status != 0)) && [[ -e $directory/log ]]; then tail -n 30 "$directory/log" >&2; fi
  rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- secret.sh, on a copy, so that a developer's own .env stays out of this ----

mkdir "$directory/tree"
cp -a scripts nginx "$directory/tree/"
(
  cd "$directory/tree"
  umask 000
  # Several at once: one writes it, the others find it.
  writers=()
  for _ in 1 2 3 4 5; do
    ./scripts/secret.sh >>"$directory/secret.log" &
    writers+=($!)
  done
  for writer in "${writers[@]}"; do wait "$writer" || fail "secret.sh failed"; done
  [[ $(grep -c 'wrote .env' "$directory/secret.log") == 1 ]] || fail "secret.sh wrote .env more than once"
  [[ $(stat -c %a .env) == 600 ]] || fail ".env is not private"
  grep -qE '^COOKIE=[A-Za-z0-9_-]{43}$' .env || fail ".env has no strong cookie"
  cp .env before
  ./scripts/secret.sh | grep -q 'stays as it is' || fail "secret.sh does not say that .env exists"
  cmp -s .env before || fail "secret.sh changed .env"
  [[ $(find . -name '.env*' | wc -l) == 1 ]] || fail "secret.sh left a draft"
)
echo "scripts.sh: secret.sh: ok"

# ---- the demo ----

start_services() {
  # What an earlier start said must not pass for the word of this one.
  : >"$directory/log"
  (
    cd "$directory/tree"
    SMACHE_BIN=$binary exec ./scripts/services.sh --local
  ) >"$directory/log" 2>&1 &
  services=$!
  local limit=$((SECONDS + 60))
  until grep -q '^Ctrl-C ends it' "$directory/log"; do
    kill -0 "$services" 2>/dev/null || fail "services.sh ended early"
    ((SECONDS < limit)) || fail "services.sh is not ready"
    sleep 0.1
  done
}

start_services
if ./scripts/curl.get.sh "$LB_PORT" >/dev/null 2>&1; then fail "curl.get.sh passes although nothing was written"; fi
./scripts/curl.post.sh "$LB_PORT"
for port in "$LB_PORT" "$BASE_PORT" $((BASE_PORT + 1)) $((BASE_PORT + 2)) $((BASE_PORT + 3)); do
  HOST=127.0.0.1 ./scripts/curl.get.sh "$port" >"$directory/answers" || fail "the records are not whole at port $port"
done
cat "$directory/answers"
echo "scripts.sh: four nodes behind nginx: ok"

mapfile -t children < <(ps -o pid= --ppid "$services")
((${#children[@]} >= 5)) || fail "four nodes and nginx should be running, not ${#children[@]} processes"
kill -TERM "$services"
wait "$services" || fail "services.sh ended with $?"
services=
for child in "${children[@]}"; do
  if kill -0 "$((child))" 2>/dev/null; then fail "process $((child)) is left"; fi
done
echo "scripts.sh: an end that leaves nothing: ok"

# ---- a node that dies is told ----

start_services
victim=$(ps -o pid=,args= --ppid "$services" | awk '/ serve / && /smache_2@/ { print $1; exit }')
kill -KILL "$victim"
status=0
wait "$services" || status=$?
services=
((status != 0)) || fail "services.sh says nothing of a node that died"
grep -q 'smache_2@localhost has ended' "$directory/log" || fail "services.sh does not name the node that died"
echo "scripts.sh: a node that dies is told: ok"
