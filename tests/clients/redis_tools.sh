#!/usr/bin/env bash
# redis-cli and redis-benchmark, as they are, against two nodes; and with a token and TLS against a third.
#
#   tests/clients/redis_tools.sh [BINARY]      (default: target/release/smache)

set -euo pipefail
# shellcheck source=tests/clients/support/common.sh
source "$(dirname "$0")/support/common.sh"

begin "$@"
start_two

first=$(word first resp)
second=$(word second resp)
# What is written through one node is read through the other.
cli() { timeout 30 redis-cli -h "${first%:*}" -p "${first#*:}" "$@"; }
other() { timeout 30 redis-cli -h "${second%:*}" -p "${second#*:}" "$@"; }

# Says what was wrong, unless two texts are the same.
same() {
  local what=$1 found=$2 wanted=$3
  if [[ $found != "$wanted" ]]; then
    complain "$what: found"
    printf '%s\n' "$found" >&2
    complain "wanted"
    printf '%s\n' "$wanted" >&2
    exit 1
  fi
}

# Says what is missing in a text.
has() {
  local what=$1 found=$2 wanted=$3
  [[ $found == *"$wanted"* ]] || same "$what" "$found" "... $wanted ..."
}

done_with() { echo "  $1"; }

echo redis-cli
same ping "$(cli ping)" PONG
same set "$(cli set greeting 'hello, "world"')" OK
same get "$(other get greeting)" 'hello, "world"'
same "quoted" "$(other --no-raw get greeting)" '"hello, \"world\""'
same "none, quoted" "$(cli --no-raw get none)" '(nil)'
same "an error" "$(cli lpush greeting x)" "WRONGTYPE Operation against a key holding the wrong kind of value"
same "-e" "$(cli -e lpush greeting x >/dev/null 2>&1 || echo failed)" failed
same "database 0" "$(cli -n 0 get greeting)" 'hello, "world"'
same "-r and -i" "$(cli -r 3 -i 0.01 incr turns)" $'1\n2\n3'
done_with "requests"

cli hset bus line 4 stop Rathaus >/dev/null
same "RESP3" "$(other -3 --no-raw hgetall bus)" $'1# "line" => "4"\n2# "stop" => "Rathaus"'
same "--json of a map" "$(other --json hgetall bus)" '{"line":"4","stop":"Rathaus"}'
same "--json" "$(other --json mget greeting none)" '["hello, \"world\"",null]'
same "--csv" "$(other --csv hmget bus line none stop)" '"4",NULL,"Rathaus"'
same "-D" "$(other -d '; ' hmget bus line stop)" '4; Rathaus'
done_with "ways to show replies: RESP3, JSON, CSV"

printf 'two\nlines' | cli -x set lines >/dev/null
same "-x" "$(other get lines)" $'two\nlines'
printf 'Marktplatz' | cli -X place hset bus stop place >/dev/null
same "-X" "$(other hget bus stop)" Marktplatz
cli json.set document '$' '{"a": [1.0, 2]}' >/dev/null
same "a document" "$(other json.get document '$.a[0]')" '[1.0]'
same "a document as a string" "$(other get document)" '{"a":[1.0,2]}'
done_with "values from standard input, and documents"

for number in {1..5000}; do printf 'SET piped:%s value-%s\r\n' "$number" "$number"; done >"$directory/lines"
has "--pipe" "$(cli --pipe <"$directory/lines")" 'errors: 0, replies: 5000'
# As the protocol has it, with errors among the rest.
for number in {1..500}; do
  # shellcheck disable=SC2016  # these dollars stand for themselves
  printf '*3\r\n$4\r\nSADD\r\n$7\r\nmembers\r\n$%d\r\n%s\r\n*2\r\n$4\r\nLLEN\r\n$8\r\ngreeting\r\n' "${#number}" "$number"
done >"$directory/frames"
piped=$(other --pipe <"$directory/frames" 2>&1) || true
has "--pipe with errors" "$piped" 'errors: 500, replies: 1000'
same "what was piped" "$(other get piped:4999)" value-4999
same "members" "$(cli scard members)" 500
same "--scan" "$(cli --scan --pattern 'piped:*' | sort -u | wc -l)" 5000
same "--scan of few" "$(other --scan --pattern 'piped:123?' | sort)" "$(printf 'piped:%s\n' {1230..1239})"
big=$(cli --bigkeys)
has "--bigkeys" "$big" 'Sampled 5006 keys in the keyspace!'
has "--bigkeys" "$big" 'has 500 members'
done_with "pipes and scans"

timeout 30 stdbuf -oL redis-cli -h "${second%:*}" -p "${second#*:}" --csv psubscribe 'n?ws' >"$directory/heard" &
pids+=("$!")
until_true "the subscription is confirmed" grep -q '^"psubscribe","n?ws",1' "$directory/heard"
cli publish news 'hello, listener' >/dev/null
until_true "the message comes" grep -q '^"pmessage","n?ws","news","hello, listener"' "$directory/heard"
done_with "messages"

# Tools that go on until they are stopped, or for a time that they are given.
has "--latency" "$(timeout 20 redis-cli -h "${first%:*}" -p "${first#*:}" --latency -i 1 --csv)" ','
stat=$(timeout 20 stdbuf -oL redis-cli -h "${first%:*}" -p "${first#*:}" --stat -i 0.1 | head -n 4 || true)
has "--stat" "$stat" 5006
has "of a command" "$(cli -3 --json command docs get)" '{"get":{"summary":"Returns '
has "INFO" "$(cli info server)" redis_version:7
done_with "figures"

echo redis-benchmark
benchmark() { timeout 60 redis-benchmark -h "${first%:*}" -p "${first#*:}" "$@"; }
# It ends with the first error. A line for each test, and two for those that fill lists for others.
lines=$(benchmark --csv -n 2000 -r 1000 -P 8 -t set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,mset,lrange_100 | tee "$directory/tests" | wc -l)
((lines >= 13)) || same "tests" "$(cat "$directory/tests")" "13 lines or more"
same "other commands" "$(benchmark --csv -n 500 -r 100 hset hash:__rand_int__ field __data__ | wc -l)" 2
benchmark -3 --csv -n 500 -c 5 -t get >/dev/null
same "the end of it" "$(cli llen mylist | grep -c '^[0-9]')" 1
done_with "its own tests, in pipelines of eight"

echo "with a token and TLS"
start_guarded
guarded=$(word guarded resp)
safe() { timeout 30 redis-cli -h localhost -p "${guarded#*:}" --tls --cacert "$authority" "$@"; }
same "without a token" "$(safe get k)" "NOAUTH Authentication required."
has "with a wrong one" "$(safe -a nobodys-token-at-all get k 2>&1 || true)" "WRONGPASS"
export REDISCLI_AUTH=$writer_token
same "a write" "$(safe set k v)" OK
same "in RESP3" "$(safe -3 get k)" v
has "--pipe" "$(safe --pipe <"$directory/lines" 2>&1)" 'errors: 0, replies: 5000'
same "--scan" "$(safe --scan --pattern 'piped:1??' | wc -l)" 100
REDISCLI_AUTH=$reader_token
same "a reader reads" "$(safe --user default get k)" v
has "a reader does not write" "$(safe --user r set k w)" NOPERM
unset REDISCLI_AUTH
has "without TLS" "$(timeout 10 redis-cli -h localhost -p "${guarded#*:}" ping 2>&1 || true)" TLS
same "a benchmark" "$(timeout 60 redis-benchmark -h localhost -p "${guarded#*:}" --tls --cacert "$authority" \
  -a "$writer_token" --csv -n 500 -c 5 -t set,get | wc -l)" 3
done_with "redis-cli and redis-benchmark"
echo "$script: passed"
