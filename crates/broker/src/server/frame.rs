//! Reads Kafka frames (a big-endian `i32` length, then that many bytes) and tells what else was spoken to the port.

use std::io;

use bytes::{Bytes, BytesMut};

/// Read from a socket at a time when no frame is known or expected to be larger.
const READ_BYTES: usize = 64 * 1024;
/// A frame up to this size gets its whole buffer at once; a larger one grows by doubling as its bytes arrive, so that a
/// length alone never makes us allocate much. No more is expected of a frame before its length is known.
const RESERVE_BYTES_MAX: usize = 1024 * 1024;

/// What a peer did wrong. The connection is closed; the text goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error(
        "TLS was spoken to a plaintext listener: set security.protocol=PLAINTEXT in the client, or connect to a TLS listener"
    )]
    TlsOnPlaintext,
    #[error("HTTP was spoken to the Kafka port: metrics and health are on the HTTP port (whimbrel.http.listener)")]
    Http,
    #[error("frame length {length} is negative: the peer does not speak Kafka's protocol")]
    NegativeLength { length: i32 },
    #[error("frame of {length} bytes is larger than socket.request.max.bytes={limit}")]
    TooLarge { length: i32, limit: usize },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Splits a byte stream into frames. Holds no memory while it is empty, so that idle connections are cheap.
#[derive(Debug)]
pub struct FrameBuffer {
    buffer: BytesMut,
    frame_bytes_max: usize,
    /// Of the last frame, with its length. The next one is expected to be as large: read into a buffer of that size, it
    /// comes alone and whole, where any other size means that its beginning or that of the one behind it is copied.
    last_bytes: usize,
}

impl FrameBuffer {
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_bytes_max, last_bytes: 0 }
    }

    /// The length of the frame whose first bytes are in the buffer, once its length is known.
    ///
    /// # Errors
    /// The length is not one that a Kafka client sends.
    pub fn frame_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(bytes) if bytes <= self.frame_bytes_max => Ok(Some(bytes)),
            _ => Err(self.explain(*prefix, length)),
        }
    }

    /// Takes the next whole frame, without its length.
    ///
    /// # Errors
    /// As [`FrameBuffer::frame_length`].
    pub fn take_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.frame_length()? else { return Ok(None) };
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.last_bytes = 4 + length;
        let mut frame = self.buffer.split_to(self.last_bytes);
        let _ = frame.split_to(4);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(frame.freeze()))
    }

    /// The buffer with room for what comes next, for a read that appends to it.
    ///
    /// # Errors
    /// As [`FrameBuffer::frame_length`].
    pub fn space(&mut self) -> Result<&mut BytesMut, FrameError> {
        let wanted = match self.frame_length()? {
            Some(length) => {
                let missing = (4 + length).saturating_sub(self.buffer.len());
                missing.min(RESERVE_BYTES_MAX.max(self.buffer.len())).max(1)
            }
            None => self.last_bytes.clamp(READ_BYTES, RESERVE_BYTES_MAX) - self.buffer.len(),
        };
        if self.buffer.capacity() - self.buffer.len() < wanted {
            // Not beyond a large frame: what is behind it would have to be copied into the next buffer.
            self.buffer.reserve(wanted.max(READ_BYTES.saturating_sub(self.buffer.len())));
        }
        Ok(&mut self.buffer)
    }

    /// Gives the memory back while nothing has arrived.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Names the protocol when the first four bytes are those of one that is often pointed at this port.
    fn explain(&self, prefix: [u8; 4], length: i32) -> FrameError {
        // A TLS record: handshake (22), version 3.x.
        if prefix[0] == 0x16 && prefix[1] == 0x03 {
            return FrameError::TlsOnPlaintext;
        }
        if [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"PATC", b"CONN", b"PRI "].contains(&&prefix) {
            return FrameError::Http;
        }
        if length < 0 {
            return FrameError::NegativeLength { length };
        }
        FrameError::TooLarge { length, limit: self.frame_bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer_with(bytes: &[u8], limit: usize) -> FrameBuffer {
        let mut frames = FrameBuffer::new(limit);
        frames.space().unwrap().extend_from_slice(bytes);
        frames
    }

    #[test]
    fn frames_are_split_and_memory_is_given_back() {
        let mut frames = buffer_with(b"\0\0\0\x03abc\0\0\0\x02de\0\0", 100);
        assert_eq!(frames.take_frame().unwrap().unwrap(), "abc");
        assert_eq!(frames.take_frame().unwrap().unwrap(), "de");
        assert!(frames.take_frame().unwrap().is_none());
        frames.space().unwrap().extend_from_slice(b"\0\0");
        assert_eq!(frames.take_frame().unwrap().unwrap(), "");
        assert_eq!(frames.buffer.capacity(), 0);
    }

    #[test]
    fn large_frames_of_one_size_are_read_alone_and_stay_where_they_were_read() {
        let large = [&200_000_i32.to_be_bytes()[..], &[7; 200_000]].concat();
        let mut frames = buffer_with(&large[..READ_BYTES], 1_000_000);
        let rest = frames.space().unwrap();
        assert_eq!(rest.capacity(), large.len(), "nothing is read beyond the frame");
        rest.extend_from_slice(&large[READ_BYTES..]);
        assert_eq!(frames.take_frame().unwrap().unwrap().len(), 200_000);
        for _ in 0..2 {
            let next = frames.space().unwrap();
            assert_eq!(next.capacity(), large.len());
            next.extend_from_slice(&large);
            let read_to = next.as_ptr().addr();
            assert_eq!(frames.take_frame().unwrap().unwrap().as_ptr().addr(), read_to + 4);
            assert_eq!(frames.buffer.capacity(), 0);
        }
    }

    #[test]
    fn other_protocols_are_named() {
        assert!(matches!(buffer_with(b"\x16\x03\x01\x02", 100).take_frame(), Err(FrameError::TlsOnPlaintext)));
        assert!(matches!(buffer_with(b"GET / HTTP/1.1", 100).take_frame(), Err(FrameError::Http)));
        assert!(matches!(buffer_with(b"\xff\xff\xff\xff", 100).take_frame(), Err(FrameError::NegativeLength { .. })));
        assert!(matches!(buffer_with(b"\0\0\0\x65", 100).take_frame(), Err(FrameError::TooLarge { length: 101, .. })));
    }

    #[test]
    fn a_length_alone_does_not_reserve_it() {
        let mut frames = buffer_with(&100_000_000_i32.to_be_bytes(), 104_857_600);
        assert!(frames.space().unwrap().capacity() <= 2 * RESERVE_BYTES_MAX);
    }
}
