#!/usr/bin/env bash
# Checks the Kubernetes manifests and the other YAML files: see manifests.py, which this gives what it needs.
#
#   tests/packaging/manifests.sh [PYTHON]
#
# PYTHON is an interpreter that has the packages of requirements.txt; without it they go into target/packaging-venv, once.

set -euo pipefail
cd "$(dirname "$0")/../.."

python=${1:-}
if [[ -z $python ]]; then
  environment=target/packaging-venv
  python=$environment/bin/python
  if ! cmp --silent tests/packaging/requirements.txt "$environment/installed.txt"; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$python" -m pip install --quiet --disable-pip-version-check --requirement tests/packaging/requirements.txt
    cp tests/packaging/requirements.txt "$environment/installed.txt"
  fi
fi
"$python" -m yamllint --strict --config-file tests/packaging/yamllint.yaml kompose docker-compose.yml tests/packaging
exec "$python" tests/packaging/manifests.py
