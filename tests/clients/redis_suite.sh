#!/usr/bin/env bash
# Redis's own test suite, in its external-server mode, against a node.
#
#   tests/clients/redis_suite.sh [BINARY]      (default: target/release/smache)
#
# Runs the units below. What cannot pass is in redis_suite.skip, each test with its reason; a test that fails and is not
# there is a failure, and so is a line there that names no test. The suite comes from the distribution's source package,
# is fetched once, into target/redis-suite, and must be of the version that the list was made for.
#
# Needs apt-get, dpkg-source (package dpkg-dev) and tclsh (package tcl). Ends with 77 if the suite cannot be had.

set -euo pipefail
cd "$(dirname "$0")/../.."

version=7.0.15
units=(type/string type/incr type/list type/list-2 type/list-3 type/set type/hash keyspace scan expire protocol pubsub
  quit pause other)
# What is about other servers than this: replicas, Redis's debugging commands, its clusters, its memory limits.
tags='-needs:repl -needs:debug -needs:config-maxmemory -needs:save -needs:pfdebug -large-memory -cluster'

binary=$(realpath "${1:-target/release/smache}")
[[ -x $binary ]] || { echo "redis_suite.sh: $binary is missing: cargo build --release" >&2; exit 1; }
list=$PWD/tests/clients/redis_suite.skip
room=$PWD/target/redis-suite
directory=$(mktemp -d)
node='' suite=''

clean_up() {
  local status=$?
  trap '' INT TERM
  if [[ -n $suite ]]; then kill -- "-$suite" 2>/dev/null || true; fi
  if [[ -n $node ]]; then
    kill "$node" 2>/dev/null || true
    wait "$node" 2>/dev/null || true
  fi
  if ((status != 0 && status != 77)); then tail -n 20 "$directory/node.log" >&2 2>/dev/null || true; fi
  rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cannot() {
  echo "redis_suite.sh: $*" >&2
  exit 77
}

# Fetches the source package from where this machine has its other packages from, without touching its settings.
fetch() {
  local parts=$room/apt/parts state=$room/apt/state cache=$room/apt/cache file
  mkdir -p "$parts" "$state/lists/partial" "$cache/archives/partial"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
    [[ -s $file ]] || continue
    sed 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$file" >"$parts/${file##*/}"
  done
  # A file of one line for each source has another ending among parts.
  if [[ -e $parts/sources.list ]]; then mv "$parts/sources.list" "$parts/machine.list"; fi
  local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$parts" -o Dir::State="$state"
    -o Dir::Cache="$cache" -o APT::Sandbox::User= -o Acquire::Retries=2 -o Acquire::http::Timeout=20)
  (
    cd "$room"
    apt-get "${options[@]}" update && apt-get "${options[@]}" source redis
  ) >"$directory/fetch.log" 2>&1 || return 1
  rm -rf "$room/apt"
}

command -v tclsh >/dev/null || cannot "tclsh is missing (package tcl)"
tests=$room/redis-$version/tests
if [[ ! -e $room/fetched-$version ]]; then
  for program in apt-get dpkg-source; do
    command -v "$program" >/dev/null || cannot "$program is missing: the suite cannot be fetched"
  done
  rm -rf "$room"
  mkdir -p "$room"
  if ! fetch; then
    tail -n 3 "$directory/fetch.log" >&2
    cannot "the suite cannot be fetched"
  fi
  [[ -d $tests ]] || cannot "the distribution's Redis is not $version, for which the list of skipped tests is"
  touch "$room/fetched-$version"
fi

"$binary" serve --port 0 --cluster-port 0 --resp-port 0 --max-memory 1GiB --drain-delay 0s \
  >"$directory/node.out" 2>"$directory/node.log" &
node=$!
limit=$((SECONDS + 30))
until [[ -s $directory/node.out ]]; do
  kill -0 "$node" 2>/dev/null || { echo "redis_suite.sh: the node has ended" >&2; exit 1; }
  ((SECONDS < limit)) || { echo "redis_suite.sh: the node did not start" >&2; exit 1; }
  sleep 0.05
done
port=$(sed -n 's/.* resp=[^ ]*:\([0-9]*\).*/\1/p' "$directory/node.out")

# The list without its reasons: the suite wants one name in a line.
sed -n 's/^[a-z]\+: //p' "$list" >"$directory/skip"

# It writes beside its tests.
mkdir "$directory/suite"
cp -r "$tests" "$directory/suite/tests"
arguments=(--host 127.0.0.1 --port "$port" --singledb --durable --timeout 60 --skipfile "$directory/skip" --tags "$tags")
for unit in "${units[@]}"; do arguments+=(--single "unit/$unit"); done
began=$SECONDS
# A group of its own, which can be ended as a whole.
set -m
(
  cd "$directory/suite"
  exec timeout --foreground 300 tclsh tests/test_helper.tcl "${arguments[@]}"
) >"$directory/suite.out" 2>&1 </dev/null &
suite=$!
set +m
status=0
wait "$suite" || status=$?
kill -- "-$suite" 2>/dev/null || true
suite=''
# Its words are coloured.
sed -i 's/\x1b\[[0-9;]*m//g' "$directory/suite.out"

# Each unit's tests by what became of them.
awk '
  /^Testing unit\// { unit = substr($2, 6); order[++count] = unit }
  /^\[ok\]: / { passed[unit]++; passes++ }
  /^\[skip\]: / { skipped[unit]++; skips++ }
  /^\[ignore\]: / { ignored[unit]++; ignores++ }
  /^\[err\]: / { failed[unit]++; failures++ }
  END {
    format = "  %-16s %6s %7s %7s %6s\n"
    printf format, "unit", "passed", "skipped", "by tag", "failed"
    for (i = 1; i <= count; i++) {
      unit = order[i]
      printf format, unit, passed[unit] + 0, skipped[unit] + 0, ignored[unit] + 0, failed[unit] + 0
    }
    printf format, "all", passes + 0, skips + 0, ignores + 0, failures + 0
  }' "$directory/suite.out"

# Failures with what was said of them; then what else went wrong.
if ((status != 0)); then
  sed -n '/^\[err\]: /,/^\[[a-z]/p; /^\[exception\]/,$p; /^\[TIMEOUT\]/,$p' "$directory/suite.out" | head -n 100 >&2
  echo "redis_suite.sh: tests fail that are not in ${list##*/}, or the suite came to no end ($status)" >&2
  exit 1
fi
finished=$(grep -c '^\[.*done\]: unit/' "$directory/suite.out")
((finished == ${#units[@]})) || { echo "redis_suite.sh: $finished of ${#units[@]} units came to their end" >&2; exit 1; }
sed -n 's/^\[skip\]: //p' "$directory/suite.out" | sort -u >"$directory/skipped"
if ! sort -u "$directory/skip" | comm -23 - "$directory/skipped" >"$directory/stale" || [[ -s $directory/stale ]]; then
  echo "redis_suite.sh: the list names tests that are not there:" >&2
  cat "$directory/stale" >&2
  exit 1
fi
echo "redis_suite.sh: passed, in $((SECONDS - began)) s"
