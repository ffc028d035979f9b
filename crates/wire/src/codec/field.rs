//! How each type of field is read and written.

use bytes::Bytes;
use whimbrel_model::{Piece, Uuid};

use super::{DecodeError, EncodeError, Measure, Reader, Records, Sink, Str};
use crate::spec::Kind;

/// Memory taken for an array on the strength of its count alone. Beyond it, a peer must have sent as much of the array.
const PREALLOCATE_BYTES_MAX: usize = 1024 * 1024;

/// A type that fields can have. `flexible` selects the compact forms of lengths (KIP-482).
pub(crate) trait Field: Sized {
    const KIND: Kind;
    /// Whether the type has a null.
    const OPTIONAL: bool = false;

    /// The default unless the declaration gives one: zero, empty, or a structure of defaults; never null, but for
    /// records.
    fn empty() -> Self;
    fn is_empty(&self) -> bool;
    fn is_null(&self) -> bool {
        false
    }
    /// No value takes fewer bytes on the wire. What memory a claimed count may cost follows from it.
    fn size_min(version: i16, flexible: bool) -> usize;
    fn read(reader: &mut Reader<'_>, version: i16, flexible: bool) -> Result<Self, DecodeError>;
    fn write<S: Sink>(&self, sink: &mut S, version: i16, flexible: bool) -> Result<(), EncodeError>;
}

macro_rules! number {
    ($($ty:ty: $kind:ident,)*) => { $(
        impl Field for $ty {
            const KIND: Kind = Kind::$kind;

            fn empty() -> Self {
                0 as $ty
            }

            fn is_empty(&self) -> bool {
                *self == 0 as $ty
            }

            fn size_min(_: i16, _: bool) -> usize {
                size_of::<$ty>()
            }

            #[inline]
            fn read(reader: &mut Reader<'_>, _: i16, _: bool) -> Result<Self, DecodeError> {
                Ok(<$ty>::from_be_bytes(reader.array()?))
            }

            #[inline]
            fn write<S: Sink>(&self, sink: &mut S, _: i16, _: bool) -> Result<(), EncodeError> {
                sink.put(&self.to_be_bytes());
                Ok(())
            }
        }
    )* };
}

number! {
    i8: Int8,
    i16: Int16,
    u16: Uint16,
    i32: Int32,
    u32: Uint32,
    i64: Int64,
    f64: Float64,
}

impl Field for bool {
    const KIND: Kind = Kind::Bool;

    fn empty() -> Self {
        false
    }

    fn is_empty(&self) -> bool {
        !*self
    }

    fn size_min(_: i16, _: bool) -> usize {
        1
    }

    #[inline]
    fn read(reader: &mut Reader<'_>, _: i16, _: bool) -> Result<Self, DecodeError> {
        Ok(reader.i8()? != 0)
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, _: i16, _: bool) -> Result<(), EncodeError> {
        sink.put(&[u8::from(*self)]);
        Ok(())
    }
}

impl Field for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn empty() -> Self {
        Self::ZERO
    }

    fn is_empty(&self) -> bool {
        self.is_zero()
    }

    fn size_min(_: i16, _: bool) -> usize {
        16
    }

    #[inline]
    fn read(reader: &mut Reader<'_>, _: i16, _: bool) -> Result<Self, DecodeError> {
        Ok(Self(reader.array()?))
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, _: i16, _: bool) -> Result<(), EncodeError> {
        sink.put(&self.0);
        Ok(())
    }
}

/// Types with a null of their own in the length prefix: `Option<T>` reads and writes it, `T` refuses it.
trait Prefixed: Sized {
    const KIND: Kind;
    /// Bytes of a length in the plain encoding. A compact one takes at least one.
    const PREFIX_BYTES: usize = 4;

    fn empty() -> Self;
    fn is_empty(&self) -> bool;
    fn read(reader: &mut Reader<'_>, version: i16, flexible: bool) -> Result<Option<Self>, DecodeError>;
    fn write_null<S: Sink>(sink: &mut S, flexible: bool) -> Result<(), EncodeError>;
    fn write<S: Sink>(&self, sink: &mut S, version: i16, flexible: bool) -> Result<(), EncodeError>;
}

impl Prefixed for Str {
    const KIND: Kind = Kind::String;
    const PREFIX_BYTES: usize = 2;

    fn empty() -> Self {
        Self::default()
    }

    fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }

    #[inline]
    fn read(reader: &mut Reader<'_>, _: i16, flexible: bool) -> Result<Option<Self>, DecodeError> {
        match reader.text_len(flexible)? {
            Some(len) => reader.text(len).map(Some),
            None => Ok(None),
        }
    }

    fn write_null<S: Sink>(sink: &mut S, flexible: bool) -> Result<(), EncodeError> {
        sink.put_text_len(None, flexible)
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, _: i16, flexible: bool) -> Result<(), EncodeError> {
        sink.put_text_len(Some(self.len()), flexible)?;
        sink.put(self.as_bytes());
        Ok(())
    }
}

impl Prefixed for Bytes {
    const KIND: Kind = Kind::Bytes;

    fn empty() -> Self {
        Self::new()
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>, _: i16, flexible: bool) -> Result<Option<Self>, DecodeError> {
        match reader.len(flexible)? {
            Some(len) => reader.bytes(len).map(Some),
            None => Ok(None),
        }
    }

    fn write_null<S: Sink>(sink: &mut S, flexible: bool) -> Result<(), EncodeError> {
        sink.put_len(None, flexible)
    }

    #[inline]
    fn write<S: Sink>(&self, sink: &mut S, _: i16, flexible: bool) -> Result<(), EncodeError> {
        sink.put_len(Some(self.len()), flexible)?;
        sink.put_shared(self);
        Ok(())
    }
}

impl<T: Field> Prefixed for Vec<T> {
    const KIND: Kind = Kind::Array(&T::KIND);

    fn empty() -> Self {
        Self::new()
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }

    fn read(reader: &mut Reader<'_>, version: i16, flexible: bool) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.len(flexible)? else { return Ok(None) };
        // A count that the bytes left cannot hold is a lie.
        let needed = count.saturating_mul(T::size_min(version, flexible).max(1));
        if reader.remaining() < needed {
            return Err(DecodeError::Truncated { needed, remaining: reader.remaining() });
        }
        let mut elements = Self::with_capacity(count.min(PREALLOCATE_BYTES_MAX / size_of::<T>().max(1)));
        for read in 0..count {
            if elements.len() == elements.capacity() {
                elements.reserve_exact(count - read);
            }
            elements.push(T::read(reader, version, flexible)?);
        }
        Ok(Some(elements))
    }

    fn write_null<S: Sink>(sink: &mut S, flexible: bool) -> Result<(), EncodeError> {
        sink.put_len(None, flexible)
    }

    fn write<S: Sink>(&self, sink: &mut S, version: i16, flexible: bool) -> Result<(), EncodeError> {
        sink.put_len(Some(self.len()), flexible)?;
        for element in self {
            element.write(sink, version, flexible)?;
        }
        Ok(())
    }
}

macro_rules! prefixed {
    ($([$($of:tt)*] $ty:ty,)*) => { $(
        impl<$($of)*> Field for $ty {
            const KIND: Kind = <$ty as Prefixed>::KIND;

            fn empty() -> Self {
                Prefixed::empty()
            }

            fn is_empty(&self) -> bool {
                Prefixed::is_empty(self)
            }

            fn size_min(_: i16, flexible: bool) -> usize {
                if flexible { 1 } else { <$ty as Prefixed>::PREFIX_BYTES }
            }

            #[inline]
            fn read(reader: &mut Reader<'_>, version: i16, flexible: bool) -> Result<Self, DecodeError> {
                Prefixed::read(reader, version, flexible)?.ok_or(DecodeError::Null)
            }

            #[inline]
            fn write<S: Sink>(&self, sink: &mut S, version: i16, flexible: bool) -> Result<(), EncodeError> {
                Prefixed::write(self, sink, version, flexible)
            }
        }

        impl<$($of)*> Field for Option<$ty> {
            const KIND: Kind = <$ty as Prefixed>::KIND;
            const OPTIONAL: bool = true;

            fn empty() -> Self {
                Some(Prefixed::empty())
            }

            fn is_empty(&self) -> bool {
                self.as_ref().is_some_and(Prefixed::is_empty)
            }

            fn size_min(_: i16, flexible: bool) -> usize {
                if flexible { 1 } else { <$ty as Prefixed>::PREFIX_BYTES }
            }

            fn is_null(&self) -> bool {
                self.is_none()
            }

            #[inline]
            fn read(reader: &mut Reader<'_>, version: i16, flexible: bool) -> Result<Self, DecodeError> {
                Prefixed::read(reader, version, flexible)
            }

            #[inline]
            fn write<S: Sink>(&self, sink: &mut S, version: i16, flexible: bool) -> Result<(), EncodeError> {
                match self {
                    Some(value) => Prefixed::write(value, sink, version, flexible),
                    None => <$ty as Prefixed>::write_null(sink, flexible),
                }
            }
        }
    )* };
}

prefixed! {
    [] Str,
    [] Bytes,
    [T: Field] Vec<T>,
}

impl Field for Option<Records> {
    const KIND: Kind = Kind::Records;
    const OPTIONAL: bool = true;

    fn empty() -> Self {
        None
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }

    fn size_min(_: i16, flexible: bool) -> usize {
        if flexible { 1 } else { 4 }
    }

    fn read(reader: &mut Reader<'_>, _: i16, flexible: bool) -> Result<Self, DecodeError> {
        match reader.len(flexible)? {
            Some(len) => Ok(Some(Records::from(reader.bytes(len)?))),
            None => Ok(None),
        }
    }

    fn write<S: Sink>(&self, sink: &mut S, _: i16, flexible: bool) -> Result<(), EncodeError> {
        sink.put_len(self.as_ref().map(Records::len), flexible)?;
        for piece in self.iter().flat_map(Records::pieces) {
            match piece {
                Piece::Bytes(bytes) => sink.put_shared(bytes),
                Piece::File(slice) => sink.put_file(slice)?,
            }
        }
        Ok(())
    }
}

/// What `message!` declares. A null one is a byte below zero, and a present one comes after a byte of 1.
pub(crate) trait Structure: Field {}

impl<T: Structure> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const OPTIONAL: bool = true;

    fn empty() -> Self {
        Some(T::empty())
    }

    fn is_empty(&self) -> bool {
        self.as_ref().is_some_and(T::is_empty)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }

    fn size_min(_: i16, _: bool) -> usize {
        1
    }

    fn read(reader: &mut Reader<'_>, version: i16, flexible: bool) -> Result<Self, DecodeError> {
        if reader.i8()? < 0 { Ok(None) } else { T::read(reader, version, flexible).map(Some) }
    }

    fn write<S: Sink>(&self, sink: &mut S, version: i16, flexible: bool) -> Result<(), EncodeError> {
        match self {
            Some(value) => {
                sink.put(&[1]);
                value.write(sink, version, flexible)
            }
            None => {
                sink.put(&[0xff]);
                Ok(())
            }
        }
    }
}

/// Writes one tagged field: tag, size, value (KIP-482).
pub(crate) fn write_tagged<T: Field, S: Sink>(
    value: &T,
    tag: u32,
    sink: &mut S,
    version: i16,
) -> Result<(), EncodeError> {
    let mut size = Measure::default();
    value.write(&mut size, version, true)?;
    sink.put_uvarint(tag);
    sink.put_uvarint(u32::try_from(size.total).map_err(|_| EncodeError::TooLong { length: size.total })?);
    value.write(sink, version, true)
}

/// Equality, with the type of the second value taken from the first.
#[inline]
pub(crate) fn same<T: PartialEq>(value: &T, default: &T) -> bool {
    value == default
}
