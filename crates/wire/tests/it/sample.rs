//! Random messages as bytes, written from the declarations by an encoder that shares no code with the crate's own.

use whimbrel_wire::spec::{FieldSpec, Kind, MessageSpec, StructSpec};

/// A small generator of random numbers (xorshift64*): a seed gives the same message on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Zero is the one state it never leaves.
        Self(seed | 1 << 63)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// One random message in its canonical encoding: no unknown tagged fields, and none that has its default.
pub fn message(spec: &MessageSpec, version: i16, random: &mut Random) -> Vec<u8> {
    let mut sampler = Sampler { version, flexible: spec.flexible.contains(version), random, out: Vec::new() };
    sampler.structure(&spec.body);
    sampler.out
}

struct Sampler<'a> {
    version: i16,
    flexible: bool,
    random: &'a mut Random,
    out: Vec<u8>,
}

impl Sampler<'_> {
    fn structure(&mut self, spec: &StructSpec) {
        let version = self.version;
        let is_tagged = |field: &FieldSpec| field.tag.is_some_and(|(_, versions)| versions.contains(version));
        for field in spec.fields.iter().filter(|field| field.versions.contains(version) && !is_tagged(field)) {
            self.value(&field.kind, field.nullable.contains(version));
        }
        if !self.flexible {
            return;
        }
        let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in spec.fields.iter().filter(|field| is_tagged(field)) {
            let value = self.aside(|sampler| sampler.value(&field.kind, field.nullable.contains(version)));
            let default = self.aside(|sampler| sampler.default(field));
            if value != default && self.random.chance(2) {
                tagged.push((field.tag.map_or(0, |(tag, _)| tag), value));
            }
        }
        self.uvarint(tagged.len());
        for (tag, value) in tagged {
            self.uvarint(tag as usize);
            self.uvarint(value.len());
            self.out.extend(value);
        }
    }

    /// What `write` writes, without adding it to the message.
    fn aside(&mut self, write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let before = std::mem::take(&mut self.out);
        write(self);
        std::mem::replace(&mut self.out, before)
    }

    fn value(&mut self, kind: &Kind, nullable: bool) {
        let null = nullable && self.random.chance(4);
        match kind {
            Kind::Bool => {
                let bit = self.random.below(2) as u8;
                self.out.push(bit);
            }
            Kind::Int8 => self.number::<1>(),
            Kind::Int16 | Kind::Uint16 => self.number::<2>(),
            Kind::Int32 | Kind::Uint32 => self.number::<4>(),
            Kind::Int64 | Kind::Float64 => self.number::<8>(),
            Kind::Uuid => self.number::<16>(),
            Kind::String if null => self.text_len(None),
            Kind::String => self.text(),
            Kind::Bytes | Kind::Records if null => self.len(None),
            Kind::Bytes | Kind::Records => self.bytes(),
            Kind::Array(_) if null => self.len(None),
            Kind::Array(element) => {
                let count = self.random.below(4);
                self.len(Some(count));
                (0..count).for_each(|_| self.value(element, false));
            }
            Kind::Struct(_) if null => self.out.push(0xff),
            Kind::Struct(nested) => {
                if nullable {
                    self.out.push(1);
                }
                self.structure(nested);
            }
        }
    }

    /// Random bits, or a value at one of the ends.
    fn number<const N: usize>(&mut self) {
        let mut bytes = [0; N];
        match self.random.below(5) {
            0 => {}
            1 => bytes = [0xff; N],
            2 => bytes[0] = 0x80,
            _ => bytes.iter_mut().for_each(|byte| *byte = self.random.next() as u8),
        }
        self.out.extend(bytes);
    }

    fn text(&mut self) {
        const LETTERS: [char; 6] = ['a', 'Z', '-', '0', 'ä', '鷸'];
        // Now and then more than 127 bytes, so that compact lengths take two.
        let letters = if self.random.chance(12) { 150 } else { self.random.below(8) };
        let text: String = (0..letters).map(|_| LETTERS[self.random.below(LETTERS.len())]).collect();
        self.text_len(Some(text.len()));
        self.out.extend(text.bytes());
    }

    fn bytes(&mut self) {
        // Now and then enough to be sent without a copy.
        let len = if self.random.chance(8) { 500 + self.random.below(200) } else { self.random.below(12) };
        self.len(Some(len));
        for _ in 0..len {
            let byte = self.random.next() as u8;
            self.out.push(byte);
        }
    }

    fn text_len(&mut self, len: Option<usize>) {
        if self.flexible {
            self.uvarint(len.map_or(0, |len| len + 1));
        } else {
            self.out.extend(len.map_or(-1, |len| len as i16).to_be_bytes());
        }
    }

    fn len(&mut self, len: Option<usize>) {
        if self.flexible {
            self.uvarint(len.map_or(0, |len| len + 1));
        } else {
            self.out.extend(len.map_or(-1, |len| len as i32).to_be_bytes());
        }
    }

    fn uvarint(&mut self, mut value: usize) {
        while 0x7f < value {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// The encoding of a tagged field's default.
    fn default(&mut self, field: &FieldSpec) {
        let number = match field.default {
            Some("i64::MAX") => i64::MAX,
            Some("true") => 1,
            Some(text) => text.replace(' ', "").parse().unwrap_or(0),
            None => 0,
        };
        let null = field.default == Some("None");
        match &field.kind {
            Kind::Bool | Kind::Int8 => self.out.push(number as u8),
            Kind::Int16 | Kind::Uint16 => self.out.extend((number as i16).to_be_bytes()),
            Kind::Int32 | Kind::Uint32 => self.out.extend((number as i32).to_be_bytes()),
            Kind::Int64 | Kind::Float64 => self.out.extend(number.to_be_bytes()),
            Kind::Uuid => self.out.extend([0; 16]),
            Kind::String => self.text_len((!null).then_some(0)),
            Kind::Bytes | Kind::Records | Kind::Array(_) => self.len((!null).then_some(0)),
            Kind::Struct(nested) => {
                nested.fields.iter().for_each(|field| self.default(field));
                self.uvarint(0);
            }
        }
    }
}
