//! The `message!` macro: a declaration in, types and their code out.

/// Declares a message and the structures in it.
///
/// ```text
/// message! {
///     /// What it is for.
///     PingRequest, valid "0-2", flexible "2+" {
///         /// What it says.
///         field_name: Type, "versions", nullable "versions", tag 0 "versions", default value, ignorable true;
///         targets: Vec<Target>, "1+";
///     }
///     Target {
///         …
///     }
/// }
/// ```
///
/// Versions are in Kafka's notation. All that follows a field's versions is optional, but in this order. Types are the
/// integers, `bool`, `f64`, `Uuid`, `Str`, `Bytes`, `Vec` of those and of structures, `Option` of what is nullable, and
/// `Option<Records>`. Without `default` a field is zero or empty, and not null.
macro_rules! message {
    (
        $(#[$attr:meta])*
        $message:ident, valid $valid:literal, flexible $flexible:literal { $($fields:tt)* }
        $($(#[$nested_attr:meta])* $nested:ident { $($nested_fields:tt)* })*
    ) => {
        structure! { $(#[$attr])* $message { $($fields)* } }
        $(structure! { $(#[$nested_attr])* $nested { $($nested_fields)* } })*

        impl $crate::Message for $message {
            const SPEC: $crate::spec::MessageSpec = $crate::spec::MessageSpec {
                body: $message::BODY,
                valid: $crate::spec::Versions::parse($valid),
                flexible: $crate::spec::Versions::parse($flexible),
            };

            fn decode(reader: &mut $crate::Reader<'_>, version: i16) -> Result<Self, $crate::DecodeError> {
                if !Self::SPEC.valid.contains(version) {
                    return Err($crate::DecodeError::Version { message: stringify!($message), version });
                }
                $crate::codec::Field::read(reader, version, Self::SPEC.flexible.contains(version))
            }

            fn encode(&self, writer: &mut $crate::Writer, version: i16) -> Result<(), $crate::EncodeError> {
                if !Self::SPEC.valid.contains(version) {
                    return Err($crate::EncodeError::Version { message: stringify!($message), version });
                }
                $crate::codec::Field::write(self, writer, version, Self::SPEC.flexible.contains(version))
            }

            fn measure(&self, version: i16) -> Result<$crate::codec::Measure, $crate::EncodeError> {
                if !Self::SPEC.valid.contains(version) {
                    return Err($crate::EncodeError::Version { message: stringify!($message), version });
                }
                let mut measure = $crate::codec::Measure::default();
                $crate::codec::Field::write(self, &mut measure, version, Self::SPEC.flexible.contains(version))?;
                Ok(measure)
            }
        }
    };
}

/// One structure of a declaration: the type, its description and its code.
///
/// Each field becomes a constant of the same name, so that the code below can ask for versions that the compiler knows.
macro_rules! structure {
    (
        $(#[$attr:meta])*
        $name:ident { $(
            $(#[$field_attr:meta])*
            $field:ident: $ty:ty, $versions:literal
                $(, nullable $nullable:literal)?
                $(, tag $tag:literal $tagged:literal)?
                $(, default $default:expr)?
                $(, ignorable $ignorable:literal)?;
        )* }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $( $(#[$field_attr])* pub $field: $ty, )* }

        #[allow(non_upper_case_globals, reason = "the constants that describe the fields carry their names")]
        impl $name {
            $(
                const $field: $crate::spec::FieldSpec = $crate::spec::FieldSpec {
                    name: stringify!($field),
                    kind: <$ty as $crate::codec::Field>::KIND,
                    versions: $crate::spec::Versions::parse($versions),
                    nullable: first!($($crate::spec::Versions::parse($nullable),)? $crate::spec::Versions::NONE,),
                    tag: first!($(Some(($tag, $crate::spec::Versions::parse($tagged))),)? None,),
                    default: first!($(Some(stringify!($default)),)? None,),
                    ignorable: first!($($ignorable,)? false,),
                };
            )*
            const BODY: $crate::spec::StructSpec =
                $crate::spec::StructSpec { name: stringify!($name), fields: &[$(Self::$field),*] };
        }

        const _: () = $name::BODY.assert_tags_ascend();
        $(const _: () = assert!(
            $name::$field.nullable.is_empty() != <$ty as $crate::codec::Field>::OPTIONAL,
            concat!(stringify!($field), ": nullable fields, and only they, have an optional type")
        );)*

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: first!($($default,)? $crate::codec::Field::empty(),), )* }
            }
        }

        impl $crate::codec::Structure for $name {}

        impl $crate::codec::Field for $name {
            const KIND: $crate::spec::Kind = $crate::spec::Kind::Struct(&$name::BODY);

            fn empty() -> Self {
                Self::default()
            }

            fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            fn size_min(version: i16, flexible: bool) -> usize {
                // A flexible structure ends in the count of its tagged fields.
                let mut size = usize::from(flexible);
                $(
                    if const { Self::$field }.is_in_sequence(version) {
                        size += <$ty as $crate::codec::Field>::size_min(version, flexible);
                    }
                )*
                size
            }

            fn read(
                reader: &mut $crate::Reader<'_>,
                version: i16,
                flexible: bool,
            ) -> Result<Self, $crate::DecodeError> {
                $(
                    #[allow(unused_mut, reason = "only tagged fields are assigned again")]
                    let mut $field: $ty = if const { Self::$field }.is_in_sequence(version) {
                        let value = <$ty as $crate::codec::Field>::read(reader, version, flexible)?;
                        $(refuse_null!(DecodeError::NullField, value, $field, version, $nullable);)?
                        value
                    } else {
                        first!($($default,)? <$ty as $crate::codec::Field>::empty(),)
                    };
                )*
                if flexible {
                    #[allow(unused_variables, reason = "not every structure has tagged fields")]
                    reader.tagged(|tag, reader| {
                        $($(
                            if tag == $tag && const { Self::$field }.is_tagged(version) {
                                $field = <$ty as $crate::codec::Field>::read(reader, version, flexible)?;
                                refuse_null!(DecodeError::NullField, $field, $field, version);
                                return Ok(true);
                            }
                        )?)*
                        Ok(false)
                    })?;
                }
                Ok(Self { $($field),* })
            }

            fn write<S: $crate::codec::Sink>(
                &self,
                sink: &mut S,
                version: i16,
                flexible: bool,
            ) -> Result<(), $crate::EncodeError> {
                // Tagged fields are sent only where they differ from their default: a bit for each of those.
                let mut tagged = 0u32;
                $(
                    if const { Self::$field }.is_in_sequence(version) {
                        $(refuse_null!(EncodeError::Null, self.$field, $field, version, $nullable);)?
                        $crate::codec::Field::write(&self.$field, sink, version, flexible)?;
                    } else if !first!($($crate::codec::same(&self.$field, &$default),)?
                        $crate::codec::Field::is_empty(&self.$field),)
                    {
                        match const { Self::$field }.tag {
                            Some((tag, versions)) if versions.contains(version) => tagged |= 1 << tag,
                            _ if const { Self::$field }.ignorable => {}
                            _ => return Err($crate::EncodeError::Field { field: stringify!($field), version }),
                        }
                    }
                )*
                if flexible {
                    sink.put_uvarint(tagged.count_ones());
                }
                if tagged != 0 {
                    $($(
                        if tagged & (1 << $tag) != 0 {
                            refuse_null!(EncodeError::Null, self.$field, $field, version);
                            $crate::codec::write_tagged(&self.$field, $tag, sink, version)?;
                        }
                    )?)*
                }
                Ok(())
            }
        }
    };
}

/// The first of several expressions: how an optional part of a declaration gets a value when it is absent.
macro_rules! first {
    ($first:expr, $($rest:tt)*) => {
        $first
    };
}

/// Returns the error if `$value` is null although `$version` is not among the nullable ones.
macro_rules! refuse_null {
    ($error:ident::$variant:ident, $value:expr, $field:ident, $version:ident $(, $nullable:literal)?) => {
        if !const { Self::$field }.nullable.contains($version) && $crate::codec::Field::is_null(&$value) {
            return Err($crate::$error::$variant { field: stringify!($field), version: $version });
        }
    };
}
