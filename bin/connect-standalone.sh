#!/usr/bin/env bash
# connect-standalone.sh [-daemon] [-name NAME] [-loggc] connect-standalone.properties [connector1.properties ...]
#
# Takes the arguments of Kafka's own connect-standalone.sh and runs Millrace with them. From the environment:
#   LOG_DIR     where -daemon writes its log, NAME.out (logs/ beside bin/, as in Kafka)
#   EXTRA_ARGS  options before the properties: Kafka's -name and -loggc, or millrace's such as --log-format json
#   KAFKA_OPTS  -Djava.security.auth.login.config=FILE is used (basic authentication of the REST API)
#   MILLRACE    the binary, if it is neither beside this script nor on the PATH
# Settings of a Java machine (KAFKA_HEAP_OPTS and others) have no meaning here and are ignored.
set -euo pipefail

usage() { sed -n '2s/^# /USAGE: /p' "$0" >&2; exit 1; }
[ $# -ge 1 ] || usage

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
millrace=${MILLRACE:-}
[ -n "$millrace" ] || { [ -x "$here/millrace" ] && millrace=$here/millrace; } || millrace=$(command -v millrace || true)
if [ -z "$millrace" ]; then
  echo "millrace is not on the PATH; set MILLRACE to the binary" >&2
  exit 1
fi

daemon=no name=connectStandalone options=()
[ "$1" = -daemon ] && { daemon=yes; shift; }
# shellcheck disable=SC2086 # EXTRA_ARGS is a list of words
set -- ${EXTRA_ARGS:-} "$@"
while [ $# -gt 0 ]; do
  case $1 in
    -daemon) daemon=yes ;;
    -loggc) ;;
    -name) [ $# -ge 2 ] || usage; name=$2; shift ;;
    --log-format) [ $# -ge 2 ] || usage; options+=("$1" "$2"); shift ;;
    -*) options+=("$1") ;;
    *) break ;;
  esac
  shift
done
[ $# -ge 1 ] || usage

ignored=()
for variable in KAFKA_HEAP_OPTS KAFKA_JVM_PERFORMANCE_OPTS KAFKA_GC_LOG_OPTS KAFKA_JMX_OPTS KAFKA_LOG4J_OPTS JMX_PORT; do
  [ -z "${!variable:-}" ] || ignored+=("$variable")
done
[ ${#ignored[@]} = 0 ] || echo "there is no Java machine to set up: ignoring ${ignored[*]}" >&2

if [ $daemon = yes ]; then
  log_dir=${LOG_DIR:-$here/../logs}
  mkdir -p "$log_dir"
  log=$log_dir/$name.out
  # Appended to: what an earlier run said of its end is still needed.
  nohup "$millrace" "${options[@]}" standalone "$@" >> "$log" 2>&1 < /dev/null &
  sleep 0.5
  if ! kill -0 $! 2> /dev/null; then
    code=0; wait $! || code=$?
    echo "millrace ended at once, with $code; the end of $log:" >&2
    tail -3 "$log" >&2
    exit $code
  fi
  echo "millrace runs in the background (process $!), log in $log"
else
  exec "$millrace" "${options[@]}" standalone "$@"
fi
