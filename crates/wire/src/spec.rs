//! Message declarations as constant data, for checks and documentation. Encoding and decoding do not interpret it.

/// An inclusive range of message versions; possibly empty, possibly without an upper end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// First version.
    pub low: i16,
    /// Last version; `i16::MAX` for "and all later ones".
    pub high: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self { low: 0, high: -1 };

    /// Reads Kafka's notation: `"3"`, `"3-5"`, `"3+"` or `"none"`.
    ///
    /// # Panics
    /// On any other text. Declarations are constants, so that stops the build.
    #[must_use]
    pub const fn parse(text: &str) -> Self {
        let text = text.as_bytes();
        if let b"none" = text {
            return Self::NONE;
        }
        let (low, at) = digits(text, 0);
        if at == text.len() {
            return Self { low, high: low };
        }
        if text[at] == b'+' && at + 1 == text.len() {
            return Self { low, high: i16::MAX };
        }
        assert!(text[at] == b'-', "versions are written as \"3\", \"3-5\", \"3+\" or \"none\"");
        let (high, end) = digits(text, at + 1);
        assert!(end == text.len() && low <= high, "versions are written as \"3\", \"3-5\", \"3+\" or \"none\"");
        Self { low, high }
    }

    /// Whether `version` is in the range.
    #[must_use]
    #[inline]
    pub const fn contains(self, version: i16) -> bool {
        self.low <= version && version <= self.high
    }

    /// True for [`Versions::NONE`].
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.high < self.low
    }
}

/// The number at `text[at..]` and the index after its last digit.
const fn digits(text: &[u8], mut at: usize) -> (i16, usize) {
    let start = at;
    let mut value = 0;
    while at < text.len() && text[at].is_ascii_digit() {
        value = value * 10 + (text[at] - b'0') as i16;
        at += 1;
    }
    assert!(start < at, "a version number is missing");
    (value, at)
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self { low, high } if high < low => f.write_str("none"),
            Self { low, high: i16::MAX } => write!(f, "{low}+"),
            Self { low, high } if low == high => write!(f, "{low}"),
            Self { low, high } => write!(f, "{low}-{high}"),
        }
    }
}

/// A message: a request, a response or a stored record.
#[derive(Debug, Clone, Copy)]
pub struct MessageSpec {
    /// Kafka's name and the fields.
    pub body: StructSpec,
    /// The versions that can be encoded and decoded.
    pub valid: Versions,
    /// The versions with compact lengths and tagged fields (KIP-482).
    pub flexible: Versions,
}

/// A sequence of fields.
#[derive(Debug, Clone, Copy)]
pub struct StructSpec {
    /// Kafka's name, in its spelling.
    pub name: &'static str,
    /// In wire order.
    pub fields: &'static [FieldSpec],
}

impl StructSpec {
    /// Tagged fields are written in the order of the declaration, Kafka requires the order of tags, and the writer
    /// keeps a bit for each.
    pub(crate) const fn assert_tags_ascend(&self) {
        let mut next = 0;
        let mut at = 0;
        while at < self.fields.len() {
            if let Some((tag, _)) = self.fields[at].tag {
                assert!(next <= tag && tag < 32, "tagged fields are declared in the order of their tags");
                next = tag + 1;
            }
            at += 1;
        }
    }
}

/// One field of a [`StructSpec`].
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// Kafka's name in snake case.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Where it exists.
    pub versions: Versions,
    /// Where it may be null.
    pub nullable: Versions,
    /// Tag number and the versions in which it is a tagged field.
    pub tag: Option<(u32, Versions)>,
    /// The default as written in Rust; absent for the default of the type.
    pub default: Option<&'static str>,
    /// Whether a value is dropped silently when the version has no such field. Otherwise that is an error.
    pub ignorable: bool,
}

impl FieldSpec {
    /// Whether the field has its place in the sequence, as opposed to being tagged or absent.
    #[inline]
    pub(crate) const fn is_in_sequence(&self, version: i16) -> bool {
        self.versions.contains(version) && !self.is_tagged(version)
    }

    /// Whether the field is among the tagged ones.
    #[inline]
    pub(crate) const fn is_tagged(&self, version: i16) -> bool {
        match self.tag {
            Some((_, versions)) => versions.contains(version),
            None => false,
        }
    }
}

/// The type of a field.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One byte, zero or not.
    Bool,
    /// Signed byte.
    Int8,
    /// Signed, big-endian, as all numbers.
    Int16,
    /// Unsigned.
    Uint16,
    /// Signed.
    Int32,
    /// Unsigned.
    Uint32,
    /// Signed.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// UTF-8.
    String,
    /// Bytes.
    Bytes,
    /// Record batches.
    Records,
    /// A nested structure.
    Struct(&'static StructSpec),
    /// A sequence.
    Array(&'static Kind),
}
