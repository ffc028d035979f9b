//! Kafka's topic ids: 16 bytes, written as 22 characters of URL-safe base64 without padding.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A topic id, cluster id or directory id (KIP-516). The zero id means "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// No id.
    pub const ZERO: Self = Self([0; 16]);

    /// A version 4 id from 16 random bytes; `None` if it would print with a leading `-` or is one of the ids
    /// that Kafka reserves (zero and one): draw again.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Option<Self> {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        // A first character of `-` would be read as an option by command-line tools; Kafka avoids it too.
        (bytes[0] >> 2 != 62).then_some(Self(bytes))
    }

    /// True for [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        let mut bits = u128::from_be_bytes(self.0);
        // 22 characters carry 132 bits: the last one holds the two lowest bits, left-aligned.
        text[21] = ALPHABET[((bits & 0b11) << 4) as usize];
        bits >>= 2;
        for slot in text[..21].iter_mut().rev() {
            *slot = ALPHABET[(bits & 0x3f) as usize];
            bits >>= 6;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 22 characters of URL-safe base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Kafka id: expected 22 characters of url-safe base64")]
pub struct ParseUuidError;

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let text = text.as_bytes();
        if text.len() != 22 {
            return Err(ParseUuidError);
        }
        let mut bits: u128 = 0;
        for (i, &c) in text.iter().enumerate() {
            let six = ALPHABET.iter().position(|&a| a == c).ok_or(ParseUuidError)? as u128;
            bits = if i == 21 { (bits << 2) | (six >> 4) } else { (bits << 6) | six };
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let id = Uuid([0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255]);
        assert_eq!(id.to_string().len(), 22);
        assert_eq!(id.to_string().parse::<Uuid>(), Ok(id));
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!("short".parse::<Uuid>(), Err(ParseUuidError));
    }
}
