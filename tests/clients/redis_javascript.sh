#!/usr/bin/env bash
# JavaScript's clients of the Redis protocol, as they are: ioredis and node-redis.
#
#   tests/clients/redis_javascript.sh [BINARY]      (default: target/release/smache)
#
# Needs python3, node 18 or later, and npm, which fetches the clients once, into target/clients. Ends with 77 if they
# cannot be fetched.

set -euo pipefail
# shellcheck source=tests/clients/support/common.sh
source "$(dirname "$0")/support/common.sh"

begin "$@"
fetch_npm
start_two
start_guarded
for client in ioredis node_redis; do
  echo "$client"
  timeout 120 node "$room/$client.mjs" "$(word first resp)" "$(word second resp)" \
    "localhost:$(word guarded resp | sed 's/.*://')" "$authority" "$writer_token" "$reader_token"
done
echo "$script: passed"
