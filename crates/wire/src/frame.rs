//! Encoded messages with their size and header, ready to be sent.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use crate::codec::{Measure, Sink};
use crate::{EncodeError, Message, Request, RequestHeader, ResponseHeader, Writer};

/// One frame: size, header and body, as pieces for one `writev`. Large byte fields are pieces of their own, not copied.
///
/// As a [`Buf`] it is consumed by what has been sent, so it can be given to `write_all_buf`.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// None of them empty.
    pieces: SmallVec<[Bytes; 4]>,
    /// Sum of the pieces.
    len: usize,
}

impl Frame {
    /// A request frame. `version` decides the header's version too.
    ///
    /// # Errors
    /// The request cannot be expressed in `version`, or is above 2 GiB.
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
        Ok(Self::finish(writer, measure))
    }

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
        let mut writer = sized(measure)?;
        header.write(&mut writer, header_version);
        response.encode(&mut writer, version)?;
        Ok(Self::finish(writer, measure))
    }

    fn finish(writer: Writer, measure: Measure) -> Self {
        let pieces = writer.into_pieces();
        let len = pieces.iter().map(Bytes::len).sum();
        assert!(len == measure.total + 4, "frame of {len} bytes was measured as {} with its prefix", measure.total + 4);
        Self { pieces, len }
    }

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
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The pieces as `writev` wants them.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.pieces.iter().map(|piece| IoSlice::new(piece))
    }

    /// Everything in one run, the size prefix included; copies if there are several pieces.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 { self.pieces.remove(0) } else { self.pieces.concat().into() }
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
