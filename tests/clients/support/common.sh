# What the clients' scripts have in common: nodes that are started and ended, and clients that are fetched once.
#
# A script sources this after `set -euo pipefail`, and then calls `begin "$@"` with the binary's path, if it has one.
# shellcheck shell=bash

script=${0##*/}
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../../..")
room=$root/target/clients
pids=()

complain() { echo "$script: $*" >&2; }

# The clients cannot be fetched: the check is not made, and that is said.
unfetched() {
  complain "$* cannot be fetched"
  exit 77
}

clean_up() {
  local status=$? pid
  trap '' INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if ((status != 0 && status != 77)); then tail -n 20 "$directory"/*.log >&2 || true; fi
  rm -rf "$directory"
}

begin() {
  cd "$root" || exit
  binary=$(realpath "${1:-target/release/smache}")
  [[ -x $binary ]] || { complain "$binary is missing: cargo build --release"; exit 1; }
  directory=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Waits until the command that is given succeeds.
until_true() {
  local what=$1 limit=$((SECONDS + 30))
  shift
  until "$@"; do
    ((SECONDS < limit)) || { complain "waited in vain until $what"; exit 1; }
    sleep 0.05
  done
}

# Starts a node on ports of the system's choice, and leaves its first line in a file. The rest are its own flags.
start() {
  local name=$1 pid
  shift
  "$binary" serve --node-name "$name@localhost" --port 0 --cluster-port 0 --resp-port 0 --max-memory 256MiB \
    --drain-delay 0s "$@" >"$directory/$name.out" 2>"$directory/$name.log" &
  pid=$!
  pids+=("$pid")
  until_true "the node $name has started" has_started "$name" "$pid"
}

has_started() {
  kill -0 "$2" 2>/dev/null || { complain "the node $1 has ended"; exit 1; }
  [[ -s $directory/$1.out ]]
}

# What a node's first line says behind $2=.
word() {
  sed -n "s/.* $2=\([^ ]*\).*/\1/p" "$directory/$1.out"
}

# Two nodes, first and second, each owning its part and waiting for none of it.
start_two() {
  start first
  start second --uplinks "$(word first cluster)" --join-timeout 60s
  until_true "the nodes have joined" have_joined
}

have_joined() {
  "$binary" status --json --node "http://$(word second http)" 2>/dev/null | python3 -c '
import json, sys
status = json.load(sys.stdin)
shares = [member["partitions"] for member in status["members"] if member["state"] == "up"]
sys.exit(not (len(shares) == 2 and all(shares) and status["partitions"]["arriving"] == 0))' 2>/dev/null
}

# A node, guarded, that asks for tokens and speaks TLS; the names of its files and tokens.
writer_token=the-token-of-those-who-write
reader_token=the-token-of-those-who-read
authority=
start_guarded() {
  "$binary" certs "$directory/certs" --door localhost --door 127.0.0.1 >/dev/null
  authority=$directory/certs/ca.pem
  printf 'write w %s\nread r %s\n' "$writer_token" "$reader_token" >"$directory/tokens"
  chmod 600 "$directory/tokens"
  start guarded --tokens "$directory/tokens" --tls-cert "$directory/certs/doors.pem" \
    --tls-key "$directory/certs/doors-key.pem"
  until_true "the node is ready" \
    curl --silent --fail --output /dev/null --cacert "$authority" "https://$(word guarded http)/ready"
}

# Fetches the packages of npm, once. They are where node looks for what a script imports: beside the scripts' copies.
fetch_npm() {
  mkdir -p "$room"
  cp tests/clients/*.mjs tests/clients/package.json tests/clients/package-lock.json "$room"
  cmp -s "$room/package-lock.json" "$room/installed.json" && return
  (cd "$room" && npm ci --no-audit --no-fund --loglevel=error) || unfetched "npm's clients"
  cp "$room/package-lock.json" "$room/installed.json"
}

# Fetches the packages of Python, once, into an environment whose interpreter is then $python.
fetch_python() {
  local environment=$room/python
  python=$environment/bin/python
  cmp -s tests/clients/requirements.txt "$environment/installed.txt" && return
  rm -rf "$environment"
  mkdir -p "$room"
  python3 -m venv "$environment"
  "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement tests/clients/requirements.txt || unfetched "Python's clients"
  cp tests/clients/requirements.txt "$environment/installed.txt"
}
