#!/usr/bin/env bash
# Clients of others follow keys and speak in rooms: an EventSource, and Phoenix's own clients, through two nodes.
#
#   tests/clients/live.sh [BINARY]      (default: target/release/smache)
#
# Needs python3, node 18 or later, and npm, which fetches the clients once, into target/clients. Ends with 77 if they
# cannot be fetched.

set -euo pipefail
# shellcheck source=tests/clients/support/common.sh
source "$(dirname "$0")/support/common.sh"

begin "$@"
fetch_npm
start_two
for client in eventsource phoenix; do
  echo "$client"
  timeout 120 node "$room/$client.mjs" "http://$(word first http)" "http://$(word second http)"
done
echo "$script: passed"
