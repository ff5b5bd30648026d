#!/usr/bin/env bash
# What a request costs, side by side in one run: requests per second of server CPU time.
#
#   ./scripts/bench.sh                  GET and POST beside bare axum and nginx; another node's keys; an idle node
#   ./scripts/bench.sh --pairs 9        more interleaved pairs (5)
#   ./scripts/bench.sh --seconds 5      longer measurements (2)
#   ./scripts/bench.sh --json           one JSON object a line
#   ./scripts/bench.sh cluster          failover, handoff, backups, cuts: what becomes of a cluster, and how soon (--help)
#   ./scripts/bench.sh redis            commands of the Redis protocol beside a redis-server, and a cluster (--help)
#   ./scripts/bench.sh memory           bytes per entry beyond key and value
#   ./scripts/bench.sh table|json|key|resp   the rooms by themselves (Criterion)
#
# Ratios are medians of interleaved pairs, with the least and the greatest. Wall-clock time is not reported: on a busy
# machine it says nothing.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit ;;
  cluster | redis | memory | table | json | key | resp)
    name=$1
    shift
    exec cargo bench --locked --bench "$name" -- "$@"
    ;;
esac

PATH=$PATH:/usr/sbin:/sbin
command -v nginx >/dev/null || echo "bench.sh: no nginx here, so it is not compared (Debian package: nginx-light)" >&2
exec cargo bench --locked --bench http -- "$@"
