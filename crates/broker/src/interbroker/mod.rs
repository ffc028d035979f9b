//! Brokers talking to brokers: connections, the wire forms of what they say, and the way to the controller.
//!
//! There is no negotiation of versions: as in Kafka, brokers of one cluster speak the versions that go with its
//! inter-broker protocol, here that of 3.9. A peer that does not serve them closes the connection, which is logged.

pub mod convert;
mod peer;
mod to_controller;

pub use peer::{PeerConnection, PeerError, PeerOptions};
pub use to_controller::{ToController, ToControllerError};
