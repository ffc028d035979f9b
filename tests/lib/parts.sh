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

part_unit() {
  need_c_compiler
  cargo test --workspace --locked
}
