#!/usr/bin/env bash
# Writes the seven records of records.sh to a node or a balancer and prints each answer.
#
#   ./scripts/curl.post.sh 4000
#   HOST=10.0.0.7 ./scripts/curl.post.sh 8080
#
# Ends with 1 if any of them was refused.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source scripts/records.sh

case ${1:-} in
  -h | --help) print_help; exit ;;
  '') die "give the port, as in: ./scripts/curl.post.sh 4000" ;;
esac
require_port PORT "$1"
url=http://${HOST:-localhost}:$1/api

failed=0
for i in "${!keys[@]}"; do
  answer=$(curl --silent --show-error --fail-with-body --noproxy '*' --connect-timeout 3 --max-time 10 \
    --header 'Content-Type: application/json' --data "{\"key\":${keys[i]},\"data\":${data[i]}}" "$url") ||
    failed=$((failed + 1))
  printf '%s\n' "$answer"
done
((failed == 0)) || die "$failed of ${#keys[@]} records were not written to $url"
