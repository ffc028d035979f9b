//! Where encoded values go: into a count, or into pieces.

use bytes::Bytes;
use smallvec::SmallVec;
use whimbrel_model::{FileSlice, Piece};

use super::EncodeError;

/// Byte fields at least this long travel as they are instead of being copied: below it, a copy costs less than one more
/// entry in `writev` and one more reference to count.
pub(crate) const SHARE_BYTES_MIN: usize = 512;

/// Takes the bytes of a message in order. There are two: one counts, so that the other can allocate once.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
    /// As `put`, but may keep a reference instead of a copy.
    fn put_shared(&mut self, bytes: &Bytes);
    /// Bytes that stay in their file until they are sent.
    fn put_file(&mut self, slice: &FileSlice) -> Result<(), EncodeError>;

    #[inline]
    fn put_uvarint(&mut self, mut value: u32) {
        let mut buffer = [0u8; 5];
        let mut len = 0;
        for slot in &mut buffer {
            *slot = (value & 0x7f) as u8;
            value >>= 7;
            len += 1;
            if value == 0 {
                break;
            }
            *slot |= 0x80;
        }
        self.put(buffer.get(..len).unwrap_or(&buffer));
    }

    /// The length of a string; `None` for null.
    #[inline]
    fn put_text_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let short = match len {
            Some(length) => i16::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
            None => -1,
        };
        if flexible {
            self.put_uvarint((i32::from(short) + 1) as u32);
        } else {
            self.put(&short.to_be_bytes());
        }
        Ok(())
    }

    /// The length of bytes or records, or the count of an array; `None` for null.
    #[inline]
    fn put_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        let int = match len {
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
            None => -1,
        };
        if flexible {
            self.put_uvarint(int.wrapping_add(1) as u32);
        } else {
            self.put(&int.to_be_bytes());
        }
        Ok(())
    }
}

/// Counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Measure {
    /// All bytes.
    pub total: usize,
    /// The part of `total` that is not copied.
    pub shared: usize,
    /// Pieces that are not copied.
    pub shares: usize,
}

impl Sink for Measure {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
    }

    #[inline]
    fn put_shared(&mut self, bytes: &Bytes) {
        self.total += bytes.len();
        if SHARE_BYTES_MIN <= bytes.len() {
            self.shared += bytes.len();
            self.shares += 1;
        }
    }

    #[inline]
    fn put_file(&mut self, slice: &FileSlice) -> Result<(), EncodeError> {
        self.total += slice.len();
        self.shared += slice.len();
        self.shares += 1;
        Ok(())
    }
}

/// Collects encoded messages as pieces: own bytes, and slices of large byte fields in between.
#[derive(Debug, Default)]
pub struct Writer {
    own: Vec<u8>,
    /// Each shared piece with the length of `own` when it came.
    shared: SmallVec<[(usize, Piece); 2]>,
    takes_files: bool,
}

impl Writer {
    /// An empty one. It grows as needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for exactly what was measured.
    pub(crate) fn with_capacity(measured: Measure) -> Self {
        Self {
            own: Vec::with_capacity(measured.total - measured.shared),
            shared: SmallVec::with_capacity(measured.shares),
            takes_files: false,
        }
    }

    /// Parts of files become pieces; otherwise they are refused.
    pub(crate) fn taking_files(self) -> Self {
        Self { takes_files: true, ..self }
    }

    /// The pieces in order, none of them empty.
    pub(crate) fn into_pieces(self) -> SmallVec<[Piece; 4]> {
        let own = Bytes::from(self.own);
        let mut pieces = SmallVec::with_capacity(2 * self.shared.len() + 1);
        let mut from = 0;
        for (to, shared) in self.shared {
            if from < to {
                pieces.push(Piece::Bytes(own.slice(from..to)));
            }
            pieces.push(shared);
            from = to;
        }
        if from < own.len() {
            pieces.push(Piece::Bytes(own.slice(from..)));
        }
        pieces
    }

    /// Everything as one run of bytes; copies if there is more than one piece.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        joined(self.into_pieces().into_iter().filter_map(Piece::in_memory).collect())
    }
}

/// All in one run; copies if there are several.
pub(crate) fn joined(mut pieces: SmallVec<[Bytes; 4]>) -> Bytes {
    match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.remove(0),
        _ => pieces.concat().into(),
    }
}

impl Sink for Writer {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
    }

    #[inline]
    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_BYTES_MIN {
            self.own.extend_from_slice(bytes);
        } else {
            self.shared.push((self.own.len(), Piece::Bytes(bytes.clone())));
        }
    }

    #[inline]
    fn put_file(&mut self, slice: &FileSlice) -> Result<(), EncodeError> {
        if !self.takes_files {
            return Err(EncodeError::NotInMemory);
        }
        self.shared.push((self.own.len(), Piece::File(slice.clone())));
        Ok(())
    }
}
