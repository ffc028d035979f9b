//! Record batches as they travel: bytes that this crate does not look into.

use bytes::Bytes;
use smallvec::SmallVec;
use whimbrel_model::{FileSlice, Piece};

use super::writer::joined;

/// Whole record batches, in one or several pieces that follow each other. A decoded value has one piece, in memory.
///
/// Two values in memory are equal if their bytes are, however they are cut.
#[derive(Clone, Default)]
pub struct Records {
    pieces: SmallVec<[Piece; 1]>,
}

impl Records {
    /// No bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a piece, unless it is empty.
    pub fn push(&mut self, piece: Piece) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// The pieces, none of them empty.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All bytes in one run; copies only if there are several pieces. `None` if some of them lie in a file, which those
    /// of a decoded value never do.
    #[must_use]
    pub fn into_bytes(self) -> Option<Bytes> {
        self.pieces.into_iter().map(Piece::in_memory).collect::<Option<_>>().map(joined)
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::from_iter([bytes])
    }
}

impl From<FileSlice> for Records {
    fn from(slice: FileSlice) -> Self {
        let mut records = Self::new();
        records.push(Piece::File(slice));
        records
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).map(Piece::Bytes).collect() }
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        if self.pieces == other.pieces {
            return true;
        }
        let bytes = |records: &Self| records.clone().into_bytes();
        self.len() == other.len() && bytes(self).is_some_and(|own| Some(own) == bytes(other))
    }
}

impl Eq for Records {}

/// Contents of records are users' data and do not belong in logs: only the size is shown.
impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}
