//! The real binary, driven as a user drives it. Every broker has its own directory and free ports.

mod bench;
mod dump;
mod process;
mod tools;

mod harness;
