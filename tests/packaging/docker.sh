#!/usr/bin/env bash
# The image and the demo of four nodes, on a real Docker engine.
#
#   tests/packaging/docker.sh [BINARY]      (default: target/release/smache)
#
# Shown: the Dockerfile builds; the container runs as 65532, not root, on a read-only file system without capabilities,
# becomes healthy and stops with exit code 0 on SIGTERM; scripts/services.sh brings up four nodes behind nginx, by service
# names and a published port; every node owns partitions and holds keys; the curl scripts get their records back; one node
# restarts and joins again; --down leaves nothing.
#
# What is not real here, since no image is pulled: the base images are made of Debian packages installed on this machine
# (see rootfs.sh), and the `cargo` in the builder's image is a few lines of shell that put BINARY where Cargo would. So
# the Dockerfile's stages and layers are exercised, and the manifest that they make is shown to the real Cargo, but the
# compilation is not, which CI does outside.
#
# A Docker daemon that answers is used as it is. Otherwise root starts one, in namespaces of its own for processes,
# mounts and network: nothing of it, not a bridge, nor a rule of the firewall, is seen outside or outlives this script.
# Needs the Debian packages docker.io, docker-compose, iptables, nginx-light, curl, python3.

set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf '\n--- docker.sh: %s\n' "$*"; }
fail() {
  printf 'docker.sh: %s\n' "$*" >&2
  exit 1
}

# eventually SECONDS COMMAND...: until it succeeds, or time is up.
eventually() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < limit)) || return 1
    sleep 0.2
  done
}

binary=$(realpath "${1:-target/release/smache}")
[[ -x $binary ]] || fail "$binary is missing: cargo build --release"
PATH=$PATH:/usr/sbin:/sbin
for program in docker nginx curl python3 cargo; do
  command -v "$program" >/dev/null || fail "$program is missing"
done
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || fail "docker-compose is missing"

# ---- a daemon ----

if [[ -z ${SMACHE_DOCKER_TEST_INSIDE:-} ]] && ! docker info >/dev/null 2>&1; then
  ((EUID == 0)) || fail "no Docker daemon answers, and only root can start one"
  command -v dockerd >/dev/null || fail "dockerd is missing"
  command -v iptables >/dev/null || fail "iptables is missing, which dockerd needs"
  scratch=$(mktemp -d)
  inside=
  # shellcheck disable=SC2317
  clean_outside() {
    trap '' INT TERM
    # If interrupted: the namespaces, and all in them, end with their first process, which ends with `unshare`.
    if [[ -n $inside ]]; then
      kill -KILL "$inside" 2>/dev/null || true
      wait "$inside" 2>/dev/null || true
    fi
    # Control groups are not in a namespace here: the (empty) ones that the daemon made are removed by hand.
    eventually 5 remove_groups || true
    rm -rf "$scratch"
  }
  # shellcheck disable=SC2317
  remove_groups() {
    find /sys/fs/cgroup -depth -type d -path "*/smache-test-${scratch##*/}*" -exec rmdir {} +
  }
  trap clean_outside EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  SMACHE_DOCKER_TEST_INSIDE=$scratch TMPDIR=$scratch unshare --net --mount --pid --fork --mount-proc --kill-child "$0" "$binary" &
  inside=$!
  status=0
  wait "$inside" || status=$?
  inside=
  exit "$status"
fi

scratch=${SMACHE_DOCKER_TEST_INSIDE:-}
unset SMACHE_DOCKER_TEST_INSIDE
daemon=
work=$(mktemp -d)
project=smachetest$$
export COMPOSE_PROJECT_NAME=$project SMACHE_IMAGE=$project-smache BALANCER_IMAGE=$project-nginx \
  BUILDER_IMAGE=$project-builder RUNTIME_IMAGE=$project-runtime LB_PORT=${LB_PORT:-18080}

clean_up() {
  local status=$?
  trap '' INT TERM
  if ((status != 0)) && [[ -n $daemon ]]; then tail -n 20 "$scratch/dockerd.log" >&2; fi
  docker rm --force "$project-alone" >/dev/null 2>&1 || true
  if [[ -d $work/tree ]]; then (cd "$work/tree" && ./scripts/services.sh --down >/dev/null 2>&1) || true; fi
  if [[ -n $daemon ]]; then
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  else
    docker rmi --force "$SMACHE_IMAGE" "$BALANCER_IMAGE" "$BUILDER_IMAGE" "$RUNTIME_IMAGE" >/dev/null 2>&1 || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_daemon() {
  : >"$scratch/dockerd.log"
  dockerd --storage-driver="$1" --data-root="$scratch/data-$1" --exec-root="$scratch/exec" \
    --pidfile="$scratch/dockerd.pid" --host="$DOCKER_HOST" --cgroup-parent="/smache-test-${scratch##*/}" \
    >>"$scratch/dockerd.log" 2>&1 &
  daemon=$!
  eventually 30 docker info && return 0
  kill "$daemon" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  daemon=
  return 1
}

if [[ -n $scratch ]]; then
  ip link set lo up
  export DOCKER_HOST=unix://$scratch/docker.sock
  # vfs copies whole file systems, and works on any.
  start_daemon overlay2 || start_daemon vfs || fail "dockerd did not start: $(tail -n 5 "$scratch/dockerd.log")"
fi
say "daemon $(docker version --format '{{.Server.Version}}'), $(docker info --format '{{.Driver}}')"

# ---- base images ----

say "base images from the Debian packages installed here"
import() {
  tests/packaging/rootfs.sh "${@:2}" | docker import - "$1" >/dev/null
}
base=(base-files coreutils dash libc6 libgcc-s1)
import "$RUNTIME_IMAGE" "${base[@]}"
import "$BALANCER_IMAGE" "${base[@]}" "$(dpkg -S "$(command -v nginx)" | cut -d: -f1)"
import "$BUILDER_IMAGE-bare" "${base[@]}" mawk
mkdir "$work/builder"
cp "$binary" "$work/builder/smache"
cat >"$work/builder/cargo" <<'END'
#!/bin/sh
# Stands in for Cargo: checks that it is called as the Dockerfile should, and puts the program where Cargo would.
[ "$*" = "build --release --locked --bin smache" ] || { echo "unexpected: cargo $*" >&2; exit 1; }
[ -s src/main.rs ] && [ -e src/lib.rs ] && [ -s Cargo.lock ] || { echo "sources are missing" >&2; exit 1; }
mkdir -p "$CARGO_TARGET_DIR/release" && cp /prebuilt/smache "$CARGO_TARGET_DIR/release/smache"
END
chmod +x "$work/builder/cargo"
printf 'FROM %s\nCOPY cargo /usr/bin/cargo\nCOPY smache /prebuilt/smache\n' "$BUILDER_IMAGE-bare" >"$work/builder/Dockerfile"
docker build --quiet --tag "$BUILDER_IMAGE" "$work/builder" >/dev/null
docker rmi "$BUILDER_IMAGE-bare" >/dev/null 2>&1 || true

# ---- the demo ----

# On a copy, since services.sh writes .env, and a developer's own stays out of this.
mkdir "$work/tree"
cp -a Dockerfile .dockerignore docker-compose.yml nginx scripts Cargo.toml Cargo.lock src "$work/tree/"
cd "$work/tree"
echo 'not for the image' >secret.txt

say "build, and four nodes behind nginx"
./scripts/services.sh --build
./scripts/curl.post.sh "$LB_PORT"
./scripts/curl.get.sh "$LB_PORT"

[[ $(stat -c %a .env) == 600 ]] || fail ".env is not private"
# What the first stage makes of the manifest, the real Cargo has to take.
docker build --quiet --target build --tag "$SMACHE_IMAGE-stage" --build-arg "BUILDER_IMAGE=$BUILDER_IMAGE" \
  --build-arg "RUNTIME_IMAGE=$RUNTIME_IMAGE" . >/dev/null
docker run --rm --network none "$SMACHE_IMAGE-stage" cat Cargo.toml >"$work/Cargo.toml"
docker run --rm --network none "$SMACHE_IMAGE-stage" ls >"$work/files"
[[ $(tr '\n' ' ' <"$work/files") == "Cargo.lock Cargo.toml src target " ]] || fail "in the image's context: $(cat "$work/files")"
docker rmi "$SMACHE_IMAGE-stage" >/dev/null
cp Cargo.lock "$work/"
cp -a src "$work/src"
(cd "$work" && cargo tree --locked --offline --edges normal >/dev/null) || fail "Cargo does not take the image's manifest"
[[ $(docker image inspect --format '{{.Config.User}}' "$SMACHE_IMAGE") == 65532:65532 ]] || fail "the image runs as root"
echo "image: $(($(docker image inspect --format '{{.Size}}' "$SMACHE_IMAGE") / 1000000)) MB, of which the bare base" \
  "$(($(docker image inspect --format '{{.Size}}' "$RUNTIME_IMAGE") / 1000000)) MB"

say "every node owns partitions and holds keys"
for i in {1..120}; do
  curl --silent --fail --max-time 5 --output /dev/null --header 'Content-Type: application/json' \
    --data "{\"key\":\"vehicle:$i\",\"data\":{\"number\":$i}}" "http://127.0.0.1:$LB_PORT/api" || fail "vehicle:$i was not written"
done
services=(uplink downlink-1 downlink-2 downlink-3)
container() {
  docker ps --quiet --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"
}
# The figures of one node, one a line: partitions that it owns, entries that it holds, members that are up, partitions
# of which it still waits for entries.
figures() {
  docker exec "$(container "$1")" smache status --json | python3 -c '
import json, sys
status = json.load(sys.stdin)
up = sum(member["state"] == "up" for member in status["members"])
print(status["partitions"]["owned"], status["keys"], up, status["partitions"].get("arriving", 0), sep="\n")'
}
total=0
entries=0
for service in "${services[@]}"; do
  mapfile -t figure < <(figures "$service")
  echo "$service: ${figure[0]} partitions, ${figure[1]} entries, ${figure[2]} members up"
  ((figure[0] > 0 && figure[1] > 0 && figure[2] == 4)) || fail "$service does not do its part"
  total=$((total + figure[0]))
  entries=$((entries + figure[1]))
done
((total == 4096)) || fail "the nodes own $total partitions together, not 4096"
# The curl scripts' and these; backups may come on top.
((entries >= 127)) || fail "the nodes hold $entries entries together, not 127"

say "as who, and with what rights"
for service in "${services[@]}" balancer; do
  pid=$(docker inspect --format '{{.State.Pid}}' "$(container "$service")")
  uid=$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")
  rights=$(awk '/^CapEff:/ { print $2 }' "/proc/$pid/status")
  echo "$service: uid $uid, effective capabilities $rights"
  [[ $uid == 65532 && $rights == 0000000000000000 ]] || fail "$service has rights that it should not have"
done

say "one node restarts and joins again"
docker restart --time 35 "$(container downlink-2)" >/dev/null
whole_again() {
  local figure
  mapfile -t figure < <(figures downlink-2)
  ((figure[0] > 0 && figure[2] == 4 && figure[3] == 0))
}
eventually 60 whole_again || fail "downlink-2 did not come back"
# It handed its entries over when it left, and has its share back: nothing was written again.
./scripts/curl.get.sh "$LB_PORT" >/dev/null

say "--down leaves nothing"
./scripts/services.sh --down
[[ -z $(docker ps --all --quiet --filter "label=com.docker.compose.project=$project") ]] || fail "containers are left"
[[ -z $(docker network ls --quiet --filter "label=com.docker.compose.project=$project") ]] || fail "networks are left"

# ---- the image by itself ----

say "one container: healthy by the image's own check, and an orderly end"
docker run --detach --name "$project-alone" --read-only --cap-drop ALL "$SMACHE_IMAGE" >/dev/null
healthy() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$project-alone") == healthy ]]; }
eventually 40 healthy || {
  docker logs "$project-alone" >&2
  fail "not healthy: $(docker inspect --format '{{json .State.Health}}' "$project-alone")"
}
docker stop --time 35 "$project-alone" >/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "$project-alone")
[[ $code == 0 ]] || fail "it ended with $code after SIGTERM"

say "all passed in $SECONDS s"
