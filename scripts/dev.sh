#!/usr/bin/env bash
# Builds Smache and runs one node in the foreground, until Ctrl-C.
#
#   ./scripts/dev.sh 4000 smache@localhost
#   ./scripts/dev.sh 4001 smache_two@localhost localhost
#   ./scripts/dev.sh 4002 smache_three@localhost localhost:4500 --max-memory 100MiB
#
# PORT is the HTTP port; the cluster listens 500 above it, and Redis clients are taken 2379 above it, or at the next free
# port: the line that begins with "listening" says where. NAME is unique in the cluster. UPLINK is the host of any node
# that runs already or will soon, with or without its cluster port (default 4500). What follows goes to `smache serve`.
# On loopback no cookie is needed. SMACHE_PROFILE=release builds longer and runs faster.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit ;;
esac
(($# >= 2)) || die "give a port and a name, as in: ./scripts/dev.sh 4000 smache@localhost (see --help)"
require_port PORT "$1"
arguments=(--port "$1" --node-name "$2")
shift 2
if (($#)) && [[ $1 != -* ]]; then
  [[ -z $1 ]] || arguments+=(--uplink "$1")
  shift
fi

build_smache
# In the place of this shell, so that signals reach the node itself.
exec "$smache" serve "${arguments[@]}" "$@"
