#!/usr/bin/env bash
# The tests: units, properties, conformance, real processes, doctests.
#
#   ./scripts/test.sh              all of them
#   ./scripts/test.sh key::        those whose name contains key::
#   ./scripts/test.sh --lib table  any arguments of `cargo test`
#
# Tests that need root or a program of the system (nginx, ip) say so and pass without; what is missing is named first.
# The Docker demo and the manifests have their own: tests/packaging/docker.sh and tests/packaging/manifests.sh.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit ;;
esac
command -v cargo >/dev/null || die "cargo is missing: install Rust first"

absent() {
  echo "test.sh: no $1 here, so NOT tested: $2 (Debian package: $3)" >&2
}
# Debian keeps nginx where only root looks for programs.
PATH=$PATH:/usr/sbin:/sbin
command -v nginx >/dev/null || absent nginx "the four nodes behind a real balancer" nginx-light
command -v curl >/dev/null || absent curl "the curl scripts" curl
command -v ip >/dev/null || absent ip "cuts between real processes" iproute2
((EUID == 0)) || echo "test.sh: not root, so NOT tested: cuts between real processes" >&2

exec cargo test --locked "$@"
