#!/usr/bin/env bash
# Takes the arguments of Kafka's own connect-standalone.sh and runs Millrace with them.
#   connect-standalone.sh [-daemon] connect-standalone.properties [connector1.properties ...]
# LOG_DIR: where -daemon writes its log (./logs). EXTRA_ARGS: more arguments for millrace.
# KAFKA_HEAP_OPTS and other settings of a Java machine have no meaning here and are ignored.
set -euo pipefail
if [ $# -lt 1 ]; then
  echo "USAGE: $0 [-daemon] connect-standalone.properties [connector1.properties ...]" >&2
  exit 1
fi
millrace=${MILLRACE:-$(command -v millrace || true)}
if [ -z "$millrace" ]; then
  echo "millrace is not on the PATH; set MILLRACE to the binary" >&2
  exit 1
fi
# shellcheck disable=SC2086 # EXTRA_ARGS is a list of words
if [ "$1" = -daemon ]; then
  shift
  log_dir=${LOG_DIR:-logs}
  mkdir -p "$log_dir"
  nohup "$millrace" ${EXTRA_ARGS:-} standalone "$@" >"$log_dir/connectStandalone.out" 2>&1 </dev/null &
  echo "millrace runs in the background (process $!), log in $log_dir/connectStandalone.out"
else
  exec "$millrace" ${EXTRA_ARGS:-} standalone "$@"
fi
