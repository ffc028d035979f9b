//! Parts of files that travel from the disk to a socket without being read into memory.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

/// A file that parts are lent from. It stays open while one of them is there.
pub trait SliceSource: Send + Sync {
    /// The file.
    fn file(&self) -> &File;

    /// Whether its bytes are still those that were there when the part was lent. A log that is cut back puts others in
    /// their place; who finds out must not go on sending.
    fn is_intact(&self) -> bool;
}

/// `len` bytes of a file from `position` on.
#[derive(Clone)]
pub struct FileSlice {
    source: Arc<dyn SliceSource>,
    position: u64,
    len: usize,
}

impl FileSlice {
    /// The caller has seen that so many bytes are there.
    #[must_use]
    pub fn new(source: Arc<dyn SliceSource>, position: u64, len: usize) -> Self {
        Self { source, position, len }
    }

    /// The file and whether it can be trusted.
    #[must_use]
    pub fn source(&self) -> &dyn SliceSource {
        &*self.source
    }

    /// Where the part begins in the file, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Two slices are equal if they are the same part of the same file.
impl PartialEq for FileSlice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.position == other.position && self.len == other.len
    }
}

impl Eq for FileSlice {}

impl fmt::Debug for FileSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSlice({} bytes at {})", self.len, self.position)
    }
}

/// A run of bytes that is sent as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(FileSlice),
}

impl Piece {
    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(slice) => slice.len(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, if they are in memory.
    #[must_use]
    pub fn in_memory(self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::File(_) => None,
        }
    }
}
