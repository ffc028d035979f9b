//! Record batches as they travel: bytes that this crate does not look into.

use bytes::Bytes;
use smallvec::SmallVec;

/// Whole record batches, in one or several pieces that follow each other. A decoded value has one piece.
///
/// Two values are equal if their bytes are, however they are cut.
#[derive(Clone, Default)]
pub struct Records {
    pieces: SmallVec<[Bytes; 1]>,
}

impl Records {
    /// No bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a piece, unless it is empty.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// The pieces, none of them empty.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All bytes in one run; copies only if there are several pieces.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        match self.pieces.len() {
            0 => Bytes::new(),
            1 => self.pieces.remove(0),
            _ => self.pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        let mut records = Self::new();
        records.push(bytes);
        records
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect() }
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |records: &Self| -> Vec<u8> { records.pieces.concat() };
        match (&*self.pieces, &*other.pieces) {
            ([one], [two]) => one == two,
            _ => self.len() == other.len() && bytes(self) == bytes(other),
        }
    }
}

impl Eq for Records {}

/// Contents of records are users' data and do not belong in logs: only the size is shown.
impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}
