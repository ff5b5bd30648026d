#!/usr/bin/env bash
# Python's clients, as they are: redis-py.
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
timeout 120 "$python" tests/clients/redis_client.py "$(word first resp)" "$(word second resp)" \
  "localhost:$(word guarded resp | sed 's/.*://')" "$authority" "$writer_token" "$reader_token"
echo "$script: passed"
