//! Reading jute's binary format: big-endian numbers, length-prefixed strings and buffers, -1 for null.

/// Why bytes are not the record that they should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the record ends early: {wanted} more bytes expected, {left} there")]
    Truncated { wanted: usize, left: usize },
    #[error("a length of {0}")]
    BadLength(i32),
    #[error("a path or name is null")]
    Null,
    #[error("operation {0} cannot be part of a transaction")]
    NotInMulti(i32),
    #[error("reads and writes in one transaction")]
    MixedMulti,
    #[error("{value} is not a valid {what}")]
    BadValue { what: &'static str, value: i32 },
}

impl DecodeError {
    /// Whether a transaction that cannot be decoded for this reason has a transaction id nevertheless, as in
    /// `PrepRequestProcessor`.
    pub fn spends_zxid(&self) -> bool {
        match self {
            DecodeError::Truncated { .. }
            | DecodeError::BadLength(_)
            | DecodeError::NotInMulti(_)
            | DecodeError::MixedMulti
            | DecodeError::BadValue { .. } => true,
            DecodeError::Null => false,
        }
    }

    /// Whether the bytes make no sense at all, so that nothing after them can be trusted, rather than being a
    /// well-formed request for something that does not exist.
    pub fn is_garbage(&self) -> bool {
        match self {
            DecodeError::Truncated { .. } | DecodeError::BadLength(_) => true,
            DecodeError::Null | DecodeError::NotInMulti(_) | DecodeError::MixedMulti | DecodeError::BadValue { .. } => {
                false
            }
        }
    }
}

/// A cursor over one frame.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(DecodeError::Truncated { wanted: count, left: self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let left = self.rest.len();
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated { wanted: N, left })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array::<1>()? != [0])
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A buffer, or `None` for null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| DecodeError::BadLength(length))?;
                self.take(length).map(Some)
            }
        }
    }

    /// A string, or `None` for null. Bytes that are not UTF-8 become U+FFFD, as in Java.
    pub fn string(&mut self) -> Result<Option<String>, DecodeError> {
        Ok(self.buffer()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// A string that must be there.
    pub fn required_string(&mut self) -> Result<String, DecodeError> {
        self.string()?.ok_or(DecodeError::Null)
    }

    /// A list, empty for null. Each element takes at least one byte, so a count beyond the frame is refused
    /// before anything is allocated for it.
    pub fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = match self.i32()? {
            -1 => 0,
            count => usize::try_from(count).map_err(|_| DecodeError::BadLength(count))?,
        };
        if self.rest.len() < count {
            return Err(DecodeError::Truncated { wanted: count, left: self.rest.len() });
        }
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }
}
