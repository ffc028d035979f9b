//! Reads records: from partitions that the caller names, or as a member of a group.

mod assignors;
mod fetching;
mod group;
mod offsets;
mod records;

pub use assignors::Assignor;
pub use fetching::{Consumer, ConsumerOptions, Isolation, Start};
pub(crate) use group::read_versioned as read_member_data;
pub use group::{GroupConsumer, GroupEvent, GroupOptions};
pub use offsets::{ListedOffset, OffsetQuery, list_offsets};
pub use records::{FetchedRecord, read_records};
