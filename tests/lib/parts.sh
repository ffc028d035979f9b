# One function per part of ./test. Sourced by ./test.

part_fmt() { cargo fmt --all --check; }

part_clippy() {
  need_c_compiler
  cargo clippy --workspace --all-targets --locked -- -D warnings
}

part_deny() {
  need_cargo_deny
  cargo deny --locked check licenses bans sources
}

part_schemas() {
  need_c_compiler
  need_kafka_jars
  need_client_jars
  cargo xtask schemas --jars "$TEST_DIR/jars"
}

part_wire_java() {
  local jars
  need_c_compiler
  need_kafka_jars
  need_client_jars
  for jars in "$KAFKA_JARS" "$TEST_DIR/jars/clients-4.3.1"; do
    cargo run --quiet --package whimbrel-wire --example samples | java -cp "$jars/*" tests/java/wire/ReadBack.java
  done
}

part_unit() {
  need_c_compiler
  cargo test --workspace --locked --no-fail-fast
}

# The binary that the parts below run, built once. The dev profile shares its work with `unit`, and checks overflow and
# debug assertions while the clients are at it.
need_whimbrel() {
  local profile=${WHIMBREL_PROFILE:-dev}
  export PYTHONPATH=tests
  if [[ ${BROKER:-whimbrel} == kafka ]]; then
    need_kafka_jars
    return
  fi
  if [[ -n ${WHIMBREL:-} ]]; then
    # Brokers start in folders of their own.
    WHIMBREL=$(realpath "$WHIMBREL")
    export WHIMBREL
    return
  fi
  need_c_compiler
  cargo build --quiet --locked --profile "$profile" --package whimbrel
  WHIMBREL=${CARGO_TARGET_DIR:-$PWD/target}/${profile/#dev/debug}/whimbrel
  export WHIMBREL
}

with_broker() { "$PYTHON" -m harness.with_broker "$@"; }

part_keeper() {
  need_python
  need_kafka_jars
  need_whimbrel
  PYTHON=$PYTHON KEEPER_BIN="$WHIMBREL keeper start" tests/keeper/run.sh "$@"
}

build_go_checks() { (cd tests/go && go build -o "$TEST_DIR/go-checks" .); }

part_clients_java() {
  local version
  need_python
  need_client_jars
  need_whimbrel
  for version in $JAVA_CLIENT_VERSIONS; do with_broker -- tests/java/run-checks "$version" "$@"; done
}

part_clients_python() {
  local client
  need_python
  need_whimbrel
  for client in confluent_kafka kafka_python; do with_broker -- "$PYTHON" "tests/python/check_$client.py" "$@"; done
}

part_clients_go() {
  need_python
  need_go
  need_whimbrel
  build_go_checks
  with_broker -- "$TEST_DIR/go-checks" "$@"
}

part_clients_js() {
  need_python
  need_node
  need_whimbrel
  NODE_PATH=$TEST_DIR/js/node_modules with_broker -- node tests/js/checks.js "$@"
}

part_kcat() {
  need_python
  need_kcat
  need_whimbrel
  with_broker -- "$PYTHON" tests/python/check_kcat.py "$@"
}

part_raw_protocol() {
  need_python
  need_whimbrel
  "$PYTHON" tests/python/check_raw_protocol.py "$@"
}

# The recorded answers in crates/broker/tests/it/kafka-3.9.2 are compared with a live Kafka's, and Whimbrel's with both.
part_api_diff() {
  export BROKER=kafka
  need_python
  need_whimbrel
  need_c_compiler
  [[ ${1:-} != --record ]] || export KAFKA_RECORD=1
  with_broker -- bash -c 'KAFKA_ADDRESS=$BOOTSTRAP exec "$@"' bash \
    cargo test --quiet --locked --package whimbrel-broker --test it scenarios -- --test-threads=1
}

part_mixed_groups() {
  need_python
  need_client_jars
  need_go
  need_whimbrel
  build_go_checks
  tests/java/run-checks --compile-only 3.9.2
  JAVA_CHECKS="$TEST_DIR/classes/3.9.2:$TEST_DIR/jars/clients-3.9.2/*" GO_CHECKS=$TEST_DIR/go-checks \
    with_broker -- "$PYTHON" tests/python/check_mixed_groups.py "$@"
}

part_kafka_tools() {
  need_python
  need_kafka_jars
  need_whimbrel
  with_broker -- "$PYTHON" tests/python/check_kafka_tools.py "$@"
}

part_kafka_on_our_dir() {
  need_python
  need_kafka_jars
  need_whimbrel
  "$PYTHON" tests/python/check_kafka_on_our_dir.py "$@"
}

part_crash() {
  need_python
  need_whimbrel
  need_c_compiler
  cargo build --quiet --locked --package whimbrel-sim
  CHECK_HISTORY=${CARGO_TARGET_DIR:-$PWD/target}/debug/check-history "$PYTHON" -m crash.loop "$@"
}

# What the scenarios of a cluster need beside the brokers.
need_cluster() {
  need_python
  need_kafka_jars
  need_go
  need_whimbrel
  need_c_compiler
  need_debian ip iproute2
  need_debian iptables iptables
  build_go_checks
  mkdir -p "$TEST_DIR/classes/cluster"
  javac -nowarn -d "$TEST_DIR/classes/cluster" -cp "$KAFKA_JARS/*" tests/java/cluster/*.java
  cargo build --quiet --locked --package whimbrel-sim
  export JAVA_CLIENT="$TEST_DIR/classes/cluster:$KAFKA_JARS/*" GO_CHECKS=$TEST_DIR/go-checks
  export CHECK_HISTORY=${CARGO_TARGET_DIR:-$PWD/target}/debug/check-history
}

part_cluster() {
  need_cluster
  "$PYTHON" -m cluster "$@"
}

part_cluster_guide() {
  need_python
  need_kafka_jars
  need_whimbrel
  "$PYTHON" -m cluster.guide
}

part_cluster_tools() {
  need_cluster
  "$PYTHON" -m cluster.check_tools "$@"
}

part_bench_report() {
  need_python
  need_chromium
  need_whimbrel
  tests/bench/nightly --self-test
  "$PYTHON" -m bench_report.check "$@"
}

part_dist() {
  need_c_compiler
  need_llvm_tools
  cargo xtask dist
  WHIMBREL=${CARGO_TARGET_DIR:-$PWD/target}/pgo/whimbrel
  export WHIMBREL
  part_kcat
  part_clients_python
}

part_bench() {
  local WHIMBREL_PROFILE=${WHIMBREL_PROFILE:-release}
  need_python
  need_kafka_jars
  need_kafka_4_jars
  need_whimbrel
  "$PYTHON" -m bench.run "$@"
}
