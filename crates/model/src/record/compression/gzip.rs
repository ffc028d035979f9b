//! gzip: one or more members, as Java's `GZIPInputStream` reads them.

use super::{Codec, CompressionError, Output, encode_failed, malformed};
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{ErrorKind, Read, Write};

pub(super) fn compress(level: i32, body: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let level = u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
    let mut encoder = GzEncoder::new(out, level);
    encoder.write_all(body).and_then(|()| encoder.try_finish()).map_err(|error| encode_failed(Codec::Gzip, &error))
}

pub(super) fn decompress(body: &[u8], out: &mut Output<'_>) -> Result<(), CompressionError> {
    let mut decoder = MultiGzDecoder::new(body);
    loop {
        let space = out.some_space();
        if space.is_empty() {
            // The bound is reached: fine if the stream ends here too.
            return match read(&mut decoder, &mut [0])? {
                0 => Ok(()),
                _ => Err(out.too_large()),
            };
        }
        match read(&mut decoder, space)? {
            0 => return Ok(()),
            count => out.advance(count),
        }
    }
}

fn read(decoder: &mut MultiGzDecoder<&[u8]>, space: &mut [u8]) -> Result<usize, CompressionError> {
    decoder.read(space).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => CompressionError::Truncated { codec: Codec::Gzip },
        _ => malformed(Codec::Gzip, &error),
    })
}
