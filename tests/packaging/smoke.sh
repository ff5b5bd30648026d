#!/usr/bin/env bash
# The main job, from outside: two nodes, the second joins the first; 3,376 airports go in through one and every one comes
# back, whole, through the other.
#
#   tests/packaging/smoke.sh [BINARY]      (default: target/release/smache)
#
# HTTP_PORT sets the first node's port (14000; the second node's is one above, the cluster ports 500 above those).
# Needs curl and python3.

set -euo pipefail
cd "$(dirname "$0")/../.."

binary=$(realpath "${1:-target/release/smache}")
[[ -x $binary ]] || { echo "smoke.sh: $binary is missing: cargo build --release" >&2; exit 1; }
first=${HTTP_PORT:-14000}
second=$((first + 1))
directory=$(mktemp -d)
pids=()

clean_up() {
  local status=$? pid
  trap '' INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if ((status != 0)); then tail -n 20 "$directory"/*.log >&2 || true; fi
  rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

SMACHE_BIN=$binary ./scripts/dev.sh "$first" smache@localhost >"$directory/first.log" 2>&1 &
pids+=($!)
SMACHE_BIN=$binary ./scripts/dev.sh "$second" smache_two@localhost "localhost:$((first + 500))" >"$directory/second.log" 2>&1 &
pids+=($!)

# Both up, each owning its part and waiting for none of it, as the node at port $1 sees it.
joined() {
  "$binary" status --json --node "http://127.0.0.1:$1" 2>/dev/null | python3 -c '
import json, sys
status = json.load(sys.stdin)
shares = [member["partitions"] for member in status["members"] if member["state"] == "up"]
sys.exit(not (len(shares) == 2 and all(shares) and status["partitions"]["arriving"] == 0))' 2>/dev/null
}
limit=$((SECONDS + 30))
until joined "$first" && joined "$second"; do
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { echo "smoke.sh: a node has ended" >&2; exit 1; }
  done
  ((SECONDS < limit)) || { echo "smoke.sh: the nodes did not join" >&2; exit 1; }
  sleep 0.1
done

cp tests/data/airports.csv "$directory/airports.csv"
"$binary" load "$directory/airports.csv" --key iata --node "http://127.0.0.1:$first"

python3 - "$directory/airports.csv" "$second" <<'END'
import collections, csv, http.client, json, sys, urllib.parse

path, port = sys.argv[1], int(sys.argv[2])
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
owners = collections.Counter()
wrong = []
with open(path, newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        connection.request("GET", "/api?" + urllib.parse.urlencode({"key": row["iata"]}))
        answer = json.loads(connection.getresponse().read())
        owners[answer.get("node")] += 1
        if answer.get("key") != row["iata"] or answer.get("data") != row:
            wrong.append((row["iata"], answer))
print(f"smoke.sh: {sum(owners.values())} airports read, {len(wrong)} wrong; owners: {dict(owners)}")
if wrong or len(owners) != 2 or sum(owners.values()) != 3376:
    sys.exit(f"smoke.sh: failed, for example {wrong[:3]}")
END

for pid in "${pids[@]}"; do kill -TERM "$pid"; done
for pid in "${pids[@]}"; do
  wait "$pid" || { echo "smoke.sh: a node ended with $? after SIGTERM" >&2; exit 1; }
done
pids=()
echo "smoke.sh: both nodes ended with 0 on SIGTERM"
