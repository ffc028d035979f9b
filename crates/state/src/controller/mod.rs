//! The controller: who leads which partition, as a state machine without I/O or clock.

pub mod control;
