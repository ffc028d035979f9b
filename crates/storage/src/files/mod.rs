//! Files: open ones are bounded, small ones are replaced durably, read buffers are reused.

pub(crate) mod cache;
pub(crate) mod pool;
pub(crate) mod read;
pub(crate) mod small;
