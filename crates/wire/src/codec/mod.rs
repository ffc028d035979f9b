//! How values become bytes, and the macro that declares messages.

#[macro_use]
mod declare;
mod error;
mod field;
mod reader;
mod records;
mod text;
mod writer;

use crate::spec::MessageSpec;

pub use error::{DecodeError, EncodeError};
pub(crate) use field::{Field, Structure, same, write_tagged};
pub use reader::Reader;
pub use records::Records;
pub use text::Str;
pub use writer::{Measure, Writer};
pub(crate) use writer::{Sink, joined};

/// A Kafka message that can be read and written at each of its valid versions.
pub trait Message: Default + Clone + PartialEq + std::fmt::Debug {
    /// The declaration as data.
    const SPEC: MessageSpec;

    /// Reads one message and leaves what follows it in `reader`. Fields that `version` lacks get their defaults.
    ///
    /// Kafka ignores bytes after a request's body, so this does too; [`Reader::remaining`] tells of them.
    ///
    /// # Errors
    /// The bytes are no such message, or `version` is not valid.
    fn decode(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;

    /// Appends the message.
    ///
    /// # Errors
    /// A value that `version` cannot express (see [`EncodeError`]), or `version` is not valid. What was written before
    /// stays in `writer`.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// The number of bytes that [`Message::encode`] writes.
    ///
    /// # Errors
    /// As `encode`.
    fn size(&self, version: i16) -> Result<usize, EncodeError> {
        Ok(self.measure(version)?.total)
    }

    #[doc(hidden)]
    fn measure(&self, version: i16) -> Result<Measure, EncodeError>;
}
