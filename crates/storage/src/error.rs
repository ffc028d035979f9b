//! What can go wrong, one enum per family of operations. The broker maps them to Kafka's codes in one place.

use std::io;
use std::path::{Path, PathBuf};

use whimbrel_model::{Offset, TopicPartition};

/// A log directory that cannot be used, or a file in it that cannot be.
///
/// Not `Clone` because of the source; the log keeps on working on other directories.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The directory went offline earlier (a flush or a write failed); it stays so until a restart.
    #[error("log directory {} is offline: {reason}", dir.display())]
    Offline { dir: PathBuf, reason: String },
    /// The start could not open the log, or it was found to be damaged later; its directory stays as it is.
    #[error("the log of {partition} cannot be used: {reason}")]
    Unusable { partition: TopicPartition, reason: String },
    /// No space is left, or only the reserve is. Repeating the request later is safe: nothing was kept.
    #[error("log directory {} is full", dir.display())]
    Full { dir: PathBuf },
    /// The log was closed or deleted.
    #[error("the log of {partition} is closed")]
    Closed { partition: TopicPartition },
    /// The operating system refused.
    #[error("{action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file holds what Kafka could not have written there, at this position.
    #[error("{} is damaged at byte {position}: {what}", path.display())]
    Damaged { path: PathBuf, position: u64, what: &'static str },
    /// A request that the log cannot carry out in its present state.
    #[error("{partition}: {what} {offset} (log start {start}, log end {end})")]
    Invalid { partition: TopicPartition, what: &'static str, offset: Offset, start: Offset, end: Offset },
}

impl StorageError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// True if the error says that the bytes are not in the page cache (only from calls that ask for it).
    #[must_use]
    pub fn is_would_block(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
    }

    /// True if the file system has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_out_of_space(source),
            _ => false,
        }
    }
}

/// Why a damaged log was not set aside.
#[derive(Debug, thiserror::Error)]
pub enum SetAsideError {
    #[error("the log of {partition} is not damaged")]
    NotDamaged { partition: TopicPartition },
    /// Damage that comes again is a sign of a failing disk, and each copy takes room: somebody has to look.
    #[error("an earlier damaged copy is in {}; it has to be removed before another is set aside", path.display())]
    CopyExists { path: PathBuf },
    /// The damaged log stays on the disk beside its new copy.
    #[error("log directory {} has no room for another {bytes} bytes", dir.display())]
    NoRoom { dir: PathBuf, bytes: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// ENOSPC and a spent quota: the disk works, there is just no room on it.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why [`crate::Log::read`] gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Below the log start offset or above the log end offset (Kafka's OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is outside {start}..={end}")]
    OffsetOutOfRange { offset: Offset, start: Offset, end: Offset },
    /// The bytes are not in the page cache; repeat with [`crate::ReadMode::MayBlock`] on a thread that may block.
    #[error("the data must be read from disk")]
    WouldBlock,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why the log directories could not be opened at all. Trouble with one of several directories, or with one partition,
/// is in the [`crate::LoadReport`] instead.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("log directory {} is in use by {holder}", dir.display())]
    Locked { dir: PathBuf, holder: String },
    #[error("{} belongs to cluster {found}, expected {expected}", path.display())]
    WrongCluster { path: PathBuf, found: String, expected: String },
    #[error("{} holds broker id {found}, expected {expected}", path.display())]
    WrongBrokerId { path: PathBuf, found: i32, expected: i32 },
    #[error("log directories disagree about the broker id: {first} in {}, {second} in {}", first_path.display(), second_path.display())]
    Disagree { first: i32, first_path: PathBuf, second: i32, second_path: PathBuf },
    #[error("the same log directory is given twice: {}", dir.display())]
    Twice { dir: PathBuf },
    #[error("no log directory is given")]
    NoDirectory,
    /// Every directory failed; the first reason.
    #[error("no log directory can be used; {}: {reason}", dir.display())]
    AllOffline { dir: PathBuf, reason: String },
}
