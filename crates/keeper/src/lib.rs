//! A server that speaks ZooKeeper's protocol, with a durable tree.
//!
//! ```text
//!   connection ──frame──▶ proto ──request──▶ server::core ──transaction──▶ tree ──changes──▶ store
//!                                                 │                          │                 │
//!   connection ◀──released── answers and events, held ◀─────────────────────┘   durable ──────┘
//! ```
//!
//! - `tree` is a deterministic state machine; `session` and `watch` are machines too. None knows a clock or I/O.
//! - `store` makes the tree durable; `proto` is the wire format.
//! - `server` is the only part with sockets, threads and time.
//!
//! The rule that everything else serves: **nobody is shown a state that a crash could undo.** Transactions are
//! applied in memory at once, and everything that could reveal them (answers, events, the reads of others) is held
//! until the store has committed them.

mod config;
mod proto;
mod server;
mod session;
mod store;
/// The machine by itself: for the micro-benchmarks of this crate, which see only what is public.
#[doc(hidden)]
pub mod tree;
mod watch;

pub use config::{JUTE_MAX_BUFFER, KeeperConfig};
pub use server::{Keeper, KeeperHandle, KeeperStats, StartError};
pub use store::StoreError;
