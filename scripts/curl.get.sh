#!/usr/bin/env bash
# Reads the seven records of records.sh from a node or a balancer and prints each answer.
#
#   ./scripts/curl.get.sh 4001
#   HOST=10.0.0.7 ./scripts/curl.get.sh 8080
#
# Ends with 1 if any of them is missing or is not, character for character, what curl.post.sh wrote.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source scripts/records.sh

case ${1:-} in
  -h | --help) print_help; exit ;;
  '') die "give the port, as in: ./scripts/curl.get.sh 4000" ;;
esac
require_port PORT "$1"
url=http://${HOST:-localhost}:$1/api

failed=0
for i in "${!keys[@]}"; do
  key=${keys[i]#\"}
  key=${key%\"}
  answer=$(curl --silent --show-error --fail-with-body --noproxy '*' --connect-timeout 3 --max-time 10 \
    --get --data-urlencode "key=$key" "$url") || {
    printf '%s\n' "$answer"
    failed=$((failed + 1))
    continue
  }
  printf '%s\n' "$answer"
  if [[ $answer != *"\"data\":${data[i]}"* ]]; then
    echo "curl.get.sh: key ${keys[i]} should hold ${data[i]}" >&2
    failed=$((failed + 1))
  fi
done
((failed == 0)) || die "$failed of ${#keys[@]} records did not come back from $url"
