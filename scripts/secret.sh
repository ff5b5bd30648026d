#!/usr/bin/env bash
# Writes .env with a strong COOKIE, the secret that the nodes of one cluster share. Never overwrites: to change the
# cookie, stop all nodes, remove .env and run this again.
#
#   ./scripts/secret.sh

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
  -h | --help) print_help; exit ;;
esac
if [[ -e .env || -L .env ]]; then
  echo "secret.sh: .env exists and stays as it is"
  exit
fi

# Private from its first moment; and linked, not moved, into place, since a link never replaces what another run has
# written meanwhile.
umask 077
draft=$(mktemp .env.XXXXXX)
trap 'rm -f "$draft"' EXIT
cookie=$(head -c 32 /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_')
((${#cookie} == 43)) || die "could not read 32 bytes from /dev/urandom"
cat >"$draft" <<END
# Shared secret of the cluster: whoever has it can join, read and write. Keep it out of version control.
COOKIE=$cookie
END
if ln "$draft" .env 2>/dev/null; then
  echo "secret.sh: wrote .env with a new COOKIE, readable by you alone"
elif [[ -e .env ]]; then
  echo "secret.sh: .env exists and stays as it is"
else
  die "could not write .env"
fi
