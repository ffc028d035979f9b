//! Files: open ones are bounded, small ones are replaced durably, read buffers are reused, parts are lent to sockets.

pub(crate) mod cache;
pub(crate) mod lend;
pub(crate) mod pool;
pub(crate) mod read;
pub(crate) mod remove;
pub(crate) mod small;
