//! Walks over the batches of a segment file, reading little more than the headers.

use std::fs::File;
use std::io;

use whimbrel_model::record::BatchHeader;

use crate::batch::{BatchMeta, HEADER_BYTES, HeaderError};
use crate::files::read::{ReadMode, read_at};

/// What a walk met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A batch whose bytes all lie before the end of the walk.
    Batch { position: u64, meta: BatchMeta },
    /// The end, exactly after a batch.
    End,
    /// A batch that is cut off by the end, or is no batch at all.
    Broken { position: u64, what: &'static str },
}

/// Small batches are read many at a time, large ones are skipped over.
const WINDOW_BYTES: usize = 4096;
/// A long walk that meets batch after batch inside its window reads more at a time.
const WINDOW_BYTES_MAX: usize = 128 * 1024;

/// A walk from a batch boundary up to `end`.
pub(crate) struct Scanner<'a> {
    file: &'a File,
    mode: ReadMode,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    window_len: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a File, position: u64, end: u64, mode: ReadMode) -> Self {
        Self { file, mode, position, end, window: Vec::new(), window_at: 0, window_len: 0 }
    }

    /// Where the next step starts.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let position = self.position;
        if self.end <= position {
            return Ok(Step::End);
        }
        let header = match BatchMeta::parse(self.header()?) {
            Ok(meta) => meta,
            Err(HeaderError::Incomplete) => return Ok(Step::Broken { position, what: "the batch header is cut off" }),
            Err(HeaderError::Damaged(what)) => return Ok(Step::Broken { position, what }),
        };
        let next = position + u64::from(header.size);
        if self.end < next {
            return Ok(Step::Broken { position, what: "the batch is cut off" });
        }
        self.position = next;
        Ok(Step::Batch { position, meta: header })
    }

    /// The header of the batch that the last step gave; `None` for old formats.
    pub(crate) fn last_header(&self, position: u64) -> Option<BatchHeader> {
        let offset = usize::try_from(position.checked_sub(self.window_at)?).ok()?;
        BatchHeader::parse(self.window.get(offset..self.window_len)?).ok()
    }

    /// The bytes at the position: a whole header unless the end is near.
    fn header(&mut self) -> io::Result<&[u8]> {
        let wanted = (self.end - self.position).min(HEADER_BYTES as u64) as usize;
        let offset = self.position.checked_sub(self.window_at).filter(|&o| o + wanted as u64 <= self.window_len as u64);
        let offset = if let Some(offset) = offset {
            offset as usize
        } else {
            let size = if self.window_at + self.window_len as u64 <= self.position + HEADER_BYTES as u64
                && self.position <= self.window_at + self.window_len as u64
            {
                (self.window.len() * 4).clamp(WINDOW_BYTES, WINDOW_BYTES_MAX)
            } else {
                WINDOW_BYTES
            };
            let size = (self.end - self.position).min(size as u64) as usize;
            if self.window.len() < size {
                self.window.resize(size, 0);
            }
            let window = self.window.get_mut(..size).unwrap_or_default();
            self.window_len = read_at(self.file, window, self.position, self.mode)?;
            self.window_at = self.position;
            0
        };
        let end = (offset + wanted).min(self.window_len);
        Ok(self.window.get(offset..end).unwrap_or_default())
    }
}
