#!/usr/bin/env bash
# Clients of others follow keys and speak in rooms: an EventSource, and Phoenix's own clients, through two nodes.
#
#   tests/clients/live.sh [BINARY]      (default: target/release/smache)
#
# Needs python3, node 18 or later, and npm, which fetches the clients once, into target/clients. Ends with 77 if they
# cannot be fetched.

set -euo pipefail
cd "$(dirname "$0")/../.."

binary=$(realpath "${1:-target/release/smache}")
[[ -x $binary ]] || { echo "live.sh: $binary is missing: cargo build --release" >&2; exit 1; }
room=target/clients
directory=$(mktemp -d)
pids=()

clean_up() {
  local status=$? pid
  trap '' INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if ((status != 0 && status != 77)); then tail -n 20 "$directory"/*.log >&2 || true; fi
  rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Beside the clients, which is where node looks for what a script imports.
mkdir -p "$room"
cp tests/clients/*.mjs tests/clients/package.json tests/clients/package-lock.json "$room"
if ! cmp -s "$room/package-lock.json" "$room/installed.json"; then
  (cd "$room" && npm ci --no-audit --no-fund --loglevel=error) || { echo "live.sh: the clients cannot be fetched" >&2; exit 77; }
  cp "$room/package-lock.json" "$room/installed.json"
fi

# Starts a node on ports of the system's choice, and leaves its first line in a file. The rest are its own flags.
start() {
  local name=$1
  shift
  "$binary" serve --node-name "$name@localhost" --port 0 --cluster-port 0 --resp-port 0 --max-memory 256MiB \
    --drain-delay 0s "$@" >"$directory/$name.out" 2>"$directory/$name.log" &
  pids+=($!)
  local limit=$((SECONDS + 30))
  until [[ -s $directory/$name.out ]]; do
    kill -0 "${pids[-1]}" 2>/dev/null || { echo "live.sh: a node has ended" >&2; exit 1; }
    ((SECONDS < limit)) || { echo "live.sh: a node did not start" >&2; exit 1; }
    sleep 0.05
  done
}

# What a node's first line says behind $2=.
word() {
  sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$directory/$1.out"
}

start first
start second --uplinks "$(word first cluster)" --join-timeout 60s
first=http://$(word first http)
second=http://$(word second http)
# Both up, each owning its part and waiting for none of it.
joined() {
  "$binary" status --json --node "$second" 2>/dev/null | python3 -c '
import json, sys
status = json.load(sys.stdin)
shares = [member["partitions"] for member in status["members"] if member["state"] == "up"]
sys.exit(not (len(shares) == 2 and all(shares) and status["partitions"]["arriving"] == 0))' 2>/dev/null
}
limit=$((SECONDS + 30))
until joined; do
  ((SECONDS < limit)) || { echo "live.sh: the nodes did not join" >&2; exit 1; }
  sleep 0.1
done

for script in eventsource phoenix; do
  echo "$script"
  timeout 120 node "$room/$script.mjs" "$first" "$second"
done
echo "live.sh: passed"
