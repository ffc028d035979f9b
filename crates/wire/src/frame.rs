//! Encoded messages with their size and header, ready to be sent.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use whimbrel_model::Piece;

use crate::codec::{Measure, Sink, joined};
use crate::{EncodeError, Message, Request, RequestHeader, ResponseHeader, Writer};

/// One frame: size, header and body, as pieces that follow each other. Large byte fields are pieces of their own, not
/// copied.
///
/// A request is in memory: as a [`Buf`] it is consumed by what has been sent, so it can be given to `write_all_buf`. A
/// response may have pieces that lie in files (see [`Piece`]).
#[derive(Debug, Clone)]
pub struct Frame<P = Bytes> {
    /// None of them empty.
    pieces: SmallVec<[P; 4]>,
    /// Sum of the pieces.
    len: usize,
}

impl<P> Frame<P> {
    /// Bytes not yet consumed, the size prefix included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything has been consumed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order, none of them empty.
    #[must_use]
    pub fn pieces(&self) -> &[P] {
        &self.pieces
    }
}

impl Frame {
    /// A request frame. `version` decides the header's version too.
    ///
    /// # Errors
    /// The request cannot be expressed in `version`, is above 2 GiB, or has records that lie in a file.
    pub fn request<R: Request>(
        request: &R,
        version: i16,
        correlation_id: i32,
        client_id: Option<&str>,
    ) -> Result<Self, EncodeError> {
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id,
            client_id: client_id.map(Into::into),
        };
        let header_version = R::KEY.request_header_version(version);
        let mut measure = request.measure(version)?;
        header.write(&mut measure, header_version)?;
        let mut writer = sized(measure)?;
        header.write(&mut writer, header_version)?;
        request.encode(&mut writer, version)?;
        Frame::finish(writer, measure).into_memory().ok_or(EncodeError::NotInMemory)
    }

    /// The pieces as `writev` wants them.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.pieces.iter().map(|piece| IoSlice::new(piece))
    }

    /// Everything in one run, the size prefix included; copies if there are several pieces.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        joined(self.pieces)
    }
}

impl Frame<Piece> {
    /// The response frame to a request of type `R`. `version` is the request's.
    ///
    /// # Errors
    /// The response cannot be expressed in `version`, or is above 2 GiB.
    pub fn response<R: Request>(
        response: &R::Response,
        version: i16,
        correlation_id: i32,
    ) -> Result<Self, EncodeError> {
        let header = ResponseHeader { correlation_id };
        let header_version = R::KEY.response_header_version(version);
        let mut measure = response.measure(version)?;
        header.write(&mut measure, header_version);
        let mut writer = sized(measure)?.taking_files();
        header.write(&mut writer, header_version);
        response.encode(&mut writer, version)?;
        Ok(Self::finish(writer, measure))
    }

    fn finish(writer: Writer, measure: Measure) -> Self {
        let pieces = writer.into_pieces();
        let len = pieces.iter().map(Piece::len).sum();
        assert!(len == measure.total + 4, "frame of {len} bytes was measured as {} with its prefix", measure.total + 4);
        Self { pieces, len }
    }

    /// The same frame, unless a piece of it lies in a file.
    #[must_use]
    pub fn into_memory(self) -> Option<Frame> {
        let pieces = self.pieces.into_iter().map(Piece::in_memory).collect::<Option<_>>()?;
        Some(Frame { pieces, len: self.len })
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.first().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slots: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, slice) in slots.iter_mut().zip(self.io_slices()) {
            *slot = slice;
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "consumed {count} of {} bytes", self.len);
        self.len -= count;
        let mut rest = count;
        let mut used = 0;
        for piece in &mut self.pieces {
            if rest < piece.len() {
                piece.advance(rest);
                break;
            }
            rest -= piece.len();
            used += 1;
        }
        self.pieces.drain(..used);
    }
}

/// A writer with room for all, that starts with the size of what follows.
fn sized(measure: Measure) -> Result<Writer, EncodeError> {
    let size = i32::try_from(measure.total).map_err(|_| EncodeError::TooLong { length: measure.total })?;
    let mut writer = Writer::with_capacity(Measure { total: measure.total + 4, ..measure });
    writer.put(&size.to_be_bytes());
    Ok(writer)
}
