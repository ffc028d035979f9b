//! What can be wrong with bytes, and with values.

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value needs more bytes than there are. Also covers every length that promises more than was sent.
    #[error("{needed} bytes needed where {remaining} remain")]
    Truncated {
        /// At least this many.
        needed: usize,
        /// Bytes left.
        remaining: usize,
    },
    /// A length below zero that does not mean null, or a string longer than Kafka allows (32767 bytes).
    #[error("length {length} is not possible")]
    Length {
        /// As received.
        length: i64,
    },
    /// Null where the version has no null.
    #[error("null in a value that cannot be null")]
    Null,
    /// Null in a field that is nullable in other versions.
    #[error("null in {field}, which version {version} does not allow")]
    NullField {
        /// Name of the field.
        field: &'static str,
        /// Of the message.
        version: i16,
    },
    /// Text that is not UTF-8.
    #[error("string is not utf-8")]
    Utf8,
    /// A variable-length integer of more than 32 bits.
    #[error("variable-length integer does not end within 32 bits")]
    Varint,
    /// A tagged field whose declared size is not the size of its value.
    #[error("tagged field {tag} has {excess} bytes after its value")]
    TaggedField {
        /// Its tag.
        tag: u32,
        /// Bytes too many.
        excess: usize,
    },
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    Version {
        /// Kafka's name of the message.
        message: &'static str,
        /// As asked for.
        version: i16,
    },
}

/// A value that cannot be written at the version asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The field does not exist in this version, its value is not the default, and dropping it would change the
    /// meaning (Kafka's schema does not call it ignorable).
    #[error("{field} is set, which version {version} cannot express")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Of the message.
        version: i16,
    },
    /// Null where this version has no null.
    #[error("{field} is null, which version {version} does not allow")]
    Null {
        /// Name of the field.
        field: &'static str,
        /// Of the message.
        version: i16,
    },
    /// Longer than its length prefix can say: strings 32767 bytes, all else 2^31 - 1.
    #[error("value of length {length} is too long to encode")]
    TooLong {
        /// Bytes, or elements.
        length: usize,
    },
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    Version {
        /// Kafka's name of the message.
        message: &'static str,
        /// As asked for.
        version: i16,
    },
    /// Only a response may have records that lie in a file.
    #[error("records that lie in a file travel in responses only")]
    NotInMemory,
}
