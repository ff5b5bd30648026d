#!/usr/bin/env bash
# The demo: four nodes in one cluster behind an nginx balancer on port 8080.
#
#   ./scripts/services.sh            with Docker, in the background; builds the image when there is none
#   ./scripts/services.sh --build    the same, with the image built anew
#   ./scripts/services.sh --down     ends what Docker runs of it, and removes its containers and networks
#   ./scripts/services.sh --local    without Docker: four processes and the system's nginx, until Ctrl-C
#
# Needs either `docker compose` (or docker-compose), or with --local nginx; as root or not. Everything listens on loopback.
# LB_PORT sets the balancer's port (8080). With --local, BASE_PORT is the first node's HTTP port (4000; the others follow,
# and each cluster port is 500 above), NODES another number of nodes, and SMACHE_PROFILE the Cargo profile. WAIT_S is how
# long to wait for the cluster (120). LB_ADDRESS=0.0.0.0 opens the Docker balancer to other machines.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mode=docker
build=0
for argument in "$@"; do
  case $argument in
    -h | --help) print_help; exit ;;
    --build) build=1 ;;
    --local) mode=local ;;
    --down) mode=down ;;
    *) die "unknown argument '$argument' (see --help)" ;;
  esac
done
export LB_PORT=${LB_PORT:-8080}
require_port LB_PORT "$LB_PORT"
command -v curl >/dev/null || die "curl is missing"

node_count=4
deadline=$((SECONDS + ${WAIT_S:-120}))

fetch() {
  curl --silent --fail --noproxy '*' --connect-timeout 1 --max-time 3 "$1" 2>/dev/null
}

# Whether the node that the balancer asks this time is ready, sees all nodes up and each with a share, and waits for no
# entries.
settled() {
  local status
  status=$(fetch "http://127.0.0.1:$LB_PORT/status") || return 1
  (($(grep -oE '"state": ?"up"' <<<"$status" | wc -l) >= node_count)) || return 1
  grep -qE '"state": ?"ready"' <<<"$status" && ! grep -qE '"(arriving|unowned)": ?[1-9]|"partitions": ?0[,}]' <<<"$status"
}

# Waits until every node says so: the balancer goes round, so that twice as many looks in a row as there are nodes have met
# them all. `$1` is run between the looks, to stop early when there is nothing left to wait for.
wait_for_cluster() {
  local in_a_row=0
  while ((SECONDS < deadline)); do
    "$1"
    if settled; then
      in_a_row=$((in_a_row + 1))
      ((in_a_row < 2 * node_count)) || return 0
    else
      in_a_row=0
      sleep 0.3
    fi
  done
  return 1
}

announce() {
  cat <<END

$node_count nodes behind http://localhost:$LB_PORT. Try:
  ./scripts/curl.post.sh $LB_PORT
  ./scripts/curl.get.sh $LB_PORT
END
}

# ---- with Docker ----

find_compose() {
  command -v docker >/dev/null || die "docker is missing; try ./scripts/services.sh --local, which does without"
  docker info >/dev/null 2>&1 || die "the Docker daemon does not answer; try ./scripts/services.sh --local, which does without"
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  else
    die "neither 'docker compose' nor docker-compose is here"
  fi
}

still_wanted() { :; }

run_docker() {
  local image=${SMACHE_IMAGE:-smache:latest}
  find_compose
  ./scripts/secret.sh
  # One build: all four nodes run the same image.
  if ((build)) || ! docker image inspect "$image" >/dev/null 2>&1; then
    "${compose[@]}" build uplink
  fi
  deadline=$((SECONDS + ${WAIT_S:-120}))
  "${compose[@]}" up -d --no-build --remove-orphans
  if ! wait_for_cluster still_wanted; then
    "${compose[@]}" ps >&2
    "${compose[@]}" logs --tail=20 >&2
    die "the cluster was not complete in time; './scripts/services.sh --down' removes it"
  fi
  announce
  echo "  ./scripts/services.sh --down    (to end it)"
}

# ---- without Docker ----

pids=()
names=()
run_directory=

# Ends what this script started: first politely, then for good.
clean_up() {
  local pid limit=$((SECONDS + 35))
  trap '' INT TERM HUP
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < limit)); do sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  [[ -z $run_directory ]] || rm -rf "$run_directory"
}

# start NAME COMMAND...: in the background, each line of its output headed by its name.
start() {
  local name=$1
  shift
  "$@" > >(sed -u "s/^/[$name] /") 2>&1 &
  pids+=($!)
  names+=("$name")
}

check_alive() {
  local i
  for i in "${!pids[@]}"; do
    kill -0 "${pids[i]}" 2>/dev/null || die "${names[i]} has ended; its last lines are above"
  done
}

run_local() {
  local base=${BASE_PORT:-4000} i port name arguments
  node_count=${NODES:-4}
  [[ $node_count =~ ^[1-9][0-9]?$ ]] || die "NODES must be a number from 1 to 99, not '$node_count'"
  require_port BASE_PORT "$base"
  require_port "the last cluster port" $((base + node_count - 1 + 500))
  # Debian keeps nginx where only root looks for programs.
  PATH=$PATH:/usr/sbin:/sbin
  command -v nginx >/dev/null || die "nginx is missing (Debian package: nginx-light)"
  for ((i = 0; i < node_count; i++)); do
    port=$((base + i))
    ! fetch "http://127.0.0.1:$port/healthcheck" >/dev/null || die "something answers on port $port already; set BASE_PORT"
  done
  ! fetch "http://127.0.0.1:$LB_PORT/healthcheck" >/dev/null || die "something answers on port $LB_PORT already; set LB_PORT"
  build_smache
  deadline=$((SECONDS + ${WAIT_S:-120}))

  run_directory=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 0' INT TERM HUP
  # When root starts nginx, its workers are another user: let that one through.
  chmod 755 "$run_directory"
  cp nginx/nginx.conf "$run_directory/"
  echo "listen 127.0.0.1:$LB_PORT;" >"$run_directory/listen.conf"

  # Each child in a process group of its own, so that Ctrl-C reaches this script alone, which then ends them in order.
  set -m
  for ((i = 0; i < node_count; i++)); do
    port=$((base + i))
    echo "server 127.0.0.1:$port max_fails=3 fail_timeout=1s;" >>"$run_directory/servers.conf"
    name=smache_$((i + 1))@localhost
    arguments=(--port "$port" --cluster-port $((port + 500)) --node-name "$name")
    # The first one is the others' uplink.
    ((i == 0)) || arguments+=(--uplink "localhost:$((base + 500))")
    start "$name" "$smache" serve "${arguments[@]}"
  done
  # nginx last: it would only complain of nodes that are not there yet.
  for ((i = 0; i < node_count; i++)); do
    until fetch "http://127.0.0.1:$((base + i))/healthcheck" >/dev/null; do
      check_alive
      ((SECONDS < deadline)) || die "the node at port $((base + i)) did not answer in time"
      sleep 0.1
    done
  done
  start nginx nginx -p "$run_directory/" -e stderr -c "$run_directory/nginx.conf" -g 'daemon off;'

  wait_for_cluster check_alive || die "the cluster was not complete in time"
  announce
  echo "Ctrl-C ends it."
  wait -n "${pids[@]}" || true
  check_alive
}

case $mode in
  docker) run_docker ;;
  local) run_local ;;
  down)
    find_compose
    # The file wants a cookie even to be read; what is being removed needs none.
    COOKIE=${COOKIE:-unused} "${compose[@]}" down --volumes --remove-orphans
    ;;
esac
