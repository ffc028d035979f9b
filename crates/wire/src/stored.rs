//! Messages that are stored in records or in other messages' byte fields: their version first, then their fields.

use bytes::Bytes;

use crate::codec::Sink;
use crate::{DecodeError, EncodeError, Message, Reader, Writer};

/// The message with its version before it.
///
/// # Errors
/// As [`Message::encode`].
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.put(&version.to_be_bytes());
    message.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

/// The version and the message. Its strings and bytes are slices of `bytes`.
///
/// # Errors
/// As [`Message::decode`]. The version decides between the keys of `__consumer_offsets`: an
/// [`OffsetCommitKey`](crate::group_records::OffsetCommitKey) has 0 or 1, a
/// [`GroupMetadataKey`](crate::group_records::GroupMetadataKey) 2; see [`stored_version`].
pub fn decode_versioned<M: Message>(bytes: &Bytes) -> Result<(i16, M), DecodeError> {
    decode_as(bytes, |version| version)
}

/// As [`decode_versioned`], but a version that is too high is read as the highest known one: what consumers tell each
/// other only ever grows at its end.
///
/// # Errors
/// As [`Message::decode`].
pub fn decode_versioned_or_newer<M: Message>(bytes: &Bytes) -> Result<(i16, M), DecodeError> {
    decode_as(bytes, |version| version.min(M::SPEC.valid.high))
}

/// The version alone; `None` if there are fewer than two bytes.
#[must_use]
pub fn stored_version(bytes: &[u8]) -> Option<i16> {
    bytes.first_chunk().map(|version| i16::from_be_bytes(*version))
}

fn decode_as<M: Message>(bytes: &Bytes, read_as: impl FnOnce(i16) -> i16) -> Result<(i16, M), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    Ok((version, M::decode(&mut reader, read_as(version))?))
}
