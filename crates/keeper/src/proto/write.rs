//! Writing jute's binary format.

use bytes::{BufMut, Bytes, BytesMut};

use crate::tree::{Acl, Stat};

/// One frame being written. Its length is filled in by `finish`.
#[derive(Debug)]
pub struct Writer {
    frame: BytesMut,
}

const LENGTH_BYTES: usize = 4;

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    pub fn new() -> Self {
        let mut frame = BytesMut::with_capacity(128);
        frame.put_i32(0);
        Self { frame }
    }

    pub fn finish(mut self) -> Bytes {
        let length = u32::try_from(self.frame.len() - LENGTH_BYTES).unwrap_or(u32::MAX);
        for (to, from) in self.frame.iter_mut().zip(length.to_be_bytes()) {
            *to = from;
        }
        self.frame.freeze()
    }

    pub fn bool(&mut self, value: bool) {
        self.frame.put_u8(u8::from(value));
    }

    pub fn i32(&mut self, value: i32) {
        self.frame.put_i32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.frame.put_i64(value);
    }

    pub fn buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.i32(-1),
            Some(bytes) => {
                self.count(bytes.len());
                self.frame.put_slice(bytes);
            }
        }
    }

    pub fn string(&mut self, value: &str) {
        self.buffer(Some(value.as_bytes()));
    }

    /// The number of elements of a list, or of bytes of a string.
    pub fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    pub fn stat(&mut self, stat: &Stat) {
        self.i64(stat.czxid);
        self.i64(stat.mzxid);
        self.i64(stat.ctime);
        self.i64(stat.mtime);
        self.i32(stat.version);
        self.i32(stat.cversion);
        self.i32(stat.aversion);
        self.i64(stat.ephemeral_owner);
        self.i32(stat.data_length);
        self.i32(stat.num_children);
        self.i64(stat.pzxid);
    }

    pub fn acl(&mut self, acl: &[Acl]) {
        self.count(acl.len());
        for rule in acl {
            self.i32(rule.perms);
            self.string(&rule.id.scheme);
            self.string(&rule.id.id);
        }
    }

    pub fn strings<'a>(&mut self, strings: impl ExactSizeIterator<Item = &'a str>) {
        self.count(strings.len());
        for string in strings {
            self.string(string);
        }
    }
}
