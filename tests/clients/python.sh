#!/usr/bin/env bash
# Python's clients, as they are: redis-py, and gRPC's, which asks for what there is to be called.
#
#   tests/clients/python.sh [BINARY]      (default: target/release/smache)
#
# Needs python3 with venv, and pip, which fetches the clients once, into target/clients. Ends with 77 if they cannot be
# fetched.

set -euo pipefail
# shellcheck source=tests/clients/support/common.sh
source "$(dirname "$0")/support/common.sh"

begin "$@"
fetch_python
start_two
start_guarded
# What to a script is the same node at another door.
try() {
  timeout 120 "$python" "tests/clients/$1.py" "$(word first "$2")" "$(word second "$2")" \
    "localhost:$(word guarded "$2" | sed 's/.*://')" "$authority" "$writer_token" "$reader_token"
}
try redis_client resp
try grpc_reflected http
echo "$script: passed"
