# Thin recipes over scripts/ and .ci/run; CI runs the same ones.

_default:
    @just --list --unsorted

# A node: just dev 4001 smache_two@localhost localhost
dev port="4000" name="smache@localhost" *rest="":
    ./scripts/dev.sh {{ port }} {{ name }} {{ rest }}

# Before you finish: formatting, lints, documentation, shell scripts, tests
check:
    .ci/run fmt shell lint doc test

# The tests, or those of a name: just test key::
test *arguments:
    ./scripts/test.sh {{ arguments }}

# Simulated clusters, so many seeds of each mode; for the night: just sim 10000
sim seeds="1000":
    SIM_SEEDS={{ seeds }} ./scripts/test.sh --test simulation

# Every fuzz target for so many seconds: just fuzz 600
fuzz seconds="60" *targets="":
    ./scripts/fuzz.sh {{ seconds }} {{ targets }}

# What requests cost
bench *arguments:
    ./scripts/bench.sh {{ arguments }}

# N nodes behind nginx, without Docker, until Ctrl-C: just cluster 4
cluster nodes="4":
    NODES={{ nodes }} ./scripts/services.sh --local

# Four nodes behind nginx in Docker: just services --build, just services --down
services *arguments:
    ./scripts/services.sh {{ arguments }}

# The image and the demo on a real Docker engine
docker:
    .ci/run build docker

# The Kubernetes manifests against current schemas
manifests:
    .ci/run manifests

# Licences, sources and banned crates of the dependencies
deny:
    .ci/run deny

# All that CI does
ci:
    .ci/run
