//! The Kafka listeners: sockets, frames, limits, and the threads that serve them.

mod connection;
mod frame;
mod limits;
mod listener;
mod placement;
mod workers;

pub use connection::ConnectionSettings;
pub use limits::{ConnectionLimits, ConnectionQuota, RequestMemory};
pub use listener::{Acceptor, BindError, Listening, SocketOptions, bind, check_bind};
pub use placement::{MoveReason, Wakers, current_worker};
pub use workers::Workers;
