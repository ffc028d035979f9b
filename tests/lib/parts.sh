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
  cargo test --workspace --locked
}
