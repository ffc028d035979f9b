"""What tests/bench/nightly is made of: two builds, measured in turns, judged by the same rule."""
