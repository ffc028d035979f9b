//! Histories of what clients saw, and the checker that holds them against what Whimbrel promises.
//!
//! A test drives real clients against a broker that it kills, and writes down every event (`history`). Afterwards
//! `checker::check` reads the history and lists each broken promise. It knows nothing of the broker, of its files or of
//! the protocol, so that a mistake cannot be in both.

pub mod checker;
pub mod history;
