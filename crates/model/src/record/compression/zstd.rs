//! Zstandard: one or more frames, with contexts kept per thread.

use super::{Codec, CompressionError, Output, encode_failed, malformed};
use std::cell::RefCell;
use zstd::bulk::Compressor;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::DParameter;

/// Windows up to this size every reader must take (the format's own recommendation).
const WINDOW_LOG_MIN: u32 = 23;
/// The largest window of a reader that was not told otherwise, Kafka's included: 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<Decoder<'static>>> = const { RefCell::new(None) };
}

pub(super) fn compress(level: i32, body: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let failed = |error: std::io::Error| encode_failed(Codec::Zstd, &error);
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = match kept.take() {
            Some(compressor) => compressor,
            None => Compressor::new(level).map_err(failed)?,
        };
        compressor.set_compression_level(level).map_err(failed)?;
        let start = out.len();
        out.resize(start + zstd::zstd_safe::compress_bound(body.len()), 0);
        let space = out.get_mut(start..).unwrap_or_default();
        let written = compressor.compress_to_buffer(body, space).map_err(failed)?;
        out.truncate(start + written);
        *kept = Some(compressor);
        Ok(())
    })
}

pub(super) fn decompress(body: &[u8], out: &mut Output<'_>) -> Result<(), CompressionError> {
    DECODER.with_borrow_mut(|kept| {
        // A context that met an error is dropped with whatever state it was in.
        let mut decoder = match kept.take() {
            Some(decoder) => decoder,
            None => Decoder::new().map_err(|error| malformed(Codec::Zstd, &error))?,
        };
        decompress_with(&mut decoder, body, out)?;
        *kept = Some(decoder);
        Ok(())
    })
}

fn decompress_with(decoder: &mut Decoder<'_>, body: &[u8], out: &mut Output<'_>) -> Result<(), CompressionError> {
    let wrong = |error: std::io::Error| malformed(Codec::Zstd, &error);
    decoder.reinit().map_err(wrong)?;
    decoder.set_parameter(DParameter::WindowLogMax(window_log(out.bytes_max))).map_err(wrong)?;
    reserve_declared(body, out);
    let mut input = InBuffer::around(body);
    // Bytes of the frame to come, by the decoder's estimate; 0 exactly at the end of a frame.
    let mut wanted = 1;
    while wanted != 0 || input.pos() < body.len() {
        let read_before = input.pos();
        let space = out.some_space();
        let is_full = space.is_empty();
        let mut probe = [0; 1];
        let space: &mut [u8] = if is_full { &mut probe } else { space };
        let mut output = OutBuffer::around(space);
        wanted = decoder.run(&mut input, &mut output).map_err(wrong)?;
        let written = output.pos();
        if is_full && 0 < written {
            return Err(out.too_large());
        }
        if written == 0 && input.pos() == read_before && wanted != 0 {
            return Err(CompressionError::Truncated { codec: Codec::Zstd });
        }
        out.advance(written);
    }
    Ok(())
}

/// With room for the whole frame the decoder writes it in place and needs no window of its own. A declared size that
/// the input could not hold is not believed.
fn reserve_declared(body: &[u8], out: &mut Output<'_>) {
    /// A block of 128 KiB of one repeated byte takes four bytes; real data stays far below this.
    const BELIEVED_EXPANSION: u64 = 64;
    let believed = (body.len() as u64).saturating_mul(BELIEVED_EXPANSION).min(out.room() as u64);
    if let Ok(Some(declared)) = zstd::zstd_safe::get_frame_content_size(body)
        && declared <= believed
        && let Ok(declared) = usize::try_from(declared)
    {
        // Within the bound, so this cannot fail; if it did, the loop grows the space as it goes.
        let _ = out.space(declared);
    }
}

/// The largest window to accept for an output of at most `bytes_max`.
fn window_log(bytes_max: usize) -> u32 {
    bytes_max.next_power_of_two().trailing_zeros().clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX)
}
