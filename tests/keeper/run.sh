#!/usr/bin/env bash
# The keeper with real ZooKeeper clients, beside a real ZooKeeper, and under a real Kafka.
#
#   tests/keeper/run.sh [PART...]      parts: differential, kazoo, java, zkcli, kafka (default: all)
#
# KAFKA_JARS   directory of jars: Kafka 3.9.2, ZooKeeper 3.9.4 and what they need (tests/java/kafka-jars/pom.xml)
# PYTHON       a Python that has kazoo
# KEEPER_BIN   command that starts a keeper, like "target/debug/whimbrel keeper start"; it is given --data DIR --listen
#              ADDRESS and prints a line "listens ADDRESS" (default: the example of crates/keeper)
# SEEDS        seeds of the differential test (default: "1 2" and one at random), STEPS its length (default 3000)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${KAFKA_JARS:?directory of the jars of Kafka and ZooKeeper}"
PYTHON=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/keeper-test.XXXXXX")
pids=()
export PYTHONDONTWRITEBYTECODE=1

finish() {
  local status=$? pid
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  if ((status == 0)); then rm -rf "$work"; else echo "logs and data are in $work" >&2; fi
}
trap finish EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }

if [[ -z ${KEEPER_BIN:-} ]]; then
  (cd "$root" && cargo build --quiet --locked -p whimbrel-keeper --example keeper)
  KEEPER_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/examples/keeper
fi

# keeper_start [ADDRESS]: on the data in $work/keeper, sets keeper_address.
keeper_start() {
  local tries
  # Emptied here: the background process may come to it only after the first look below.
  : > "$work/keeper.out"
  # shellcheck disable=SC2086 # a command with its words
  $KEEPER_BIN --data "$work/keeper" --listen "${1:-127.0.0.1:0}" > "$work/keeper.out" 2>> "$work/keeper.err" < /dev/null &
  keeper_pid=$!
  pids+=("$keeper_pid")
  for ((tries = 0; tries < 200; tries++)); do
    keeper_address=$(sed -nE 's/^listen(ing on|s) +//p' "$work/keeper.out")
    [[ -n $keeper_address ]] && return
    sleep 0.05
  done
  fail "the keeper did not start: $(cat "$work/keeper.err")"
}

keeper_kill() { kill -9 "$keeper_pid"; wait "$keeper_pid" 2> /dev/null || true; }

# A keeper without any data.
keeper_fresh() { rm -rf "$work/keeper"; keeper_start; }

zookeeper_fresh() {
  rm -rf "$work/zookeeper"
  mkdir -p "$work/zookeeper"
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  zookeeper_address=127.0.0.1:$port
  cat > "$work/zoo.cfg" << CONFIG
tickTime=2000
dataDir=$work/zookeeper
clientPort=$port
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
CONFIG
  java -Xmx256m -XX:TieredStopAtLevel=1 -Dzookeeper.extendedTypesEnabled=true -Dlog4j.configuration=file:/dev/null \
    -cp "$KAFKA_JARS/*" org.apache.zookeeper.server.ZooKeeperServerMain "$work/zoo.cfg" > "$work/zookeeper.out" 2>&1 &
  zookeeper_pid=$!
  pids+=("$zookeeper_pid")
  python3 "$here/jute.py" "$zookeeper_address"
}

part_differential() {
  local seed
  for seed in ${SEEDS:-1 2 $RANDOM}; do
    zookeeper_fresh
    keeper_fresh
    python3 "$here/differential.py" "$zookeeper_address" "$keeper_address" --seed "$seed" --steps "${STEPS:-3000}"
    python3 "$here/connections.py" "$zookeeper_address" "$keeper_address"
    kill "$zookeeper_pid"
    keeper_kill
  done
}

part_kazoo() {
  keeper_fresh
  "$PYTHON" "$here/kazoo_check.py" "$keeper_address" 2> "$work/kazoo.err" || fail "kazoo: $(cat "$work/kazoo.err")"
  keeper_kill
}

part_java() {
  keeper_fresh
  mkdir -p "$work/classes"
  javac -cp "$KAFKA_JARS/*" -d "$work/classes" "$here/JavaCheck.java"
  java -Dlog4j.configuration=file:/dev/null -cp "$work/classes:$KAFKA_JARS/*" JavaCheck "$keeper_address" \
    2> "$work/java.err" || fail "java: $(cat "$work/java.err")"
  keeper_kill
}

part_zkcli() {
  keeper_fresh
  bash "$here/zkcli.sh" "$keeper_address"
  keeper_kill
}

part_kafka() {
  # shellcheck source=tests/keeper/kafka.sh
  source "$here/kafka.sh"
  keeper_fresh
  kafka_on_keeper
  keeper_kill
  echo "kafka: ok"
}

parts=("$@")
((${#parts[@]})) || parts=(kazoo java zkcli differential kafka)
for part in "${parts[@]}"; do
  declare -F "part_$part" > /dev/null || fail "no part is named '$part'"
  "part_$part"
done
