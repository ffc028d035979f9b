//! Buffers for reads, reused without being cleared.
//!
//! A fetch of 1 MiB into a fresh zeroed vector costs more in clearing and page faults than the copy out of the page
//! cache. Buffers come back when the last slice of the `Bytes` made from them is dropped, on whichever thread.

use bytes::Bytes;
use parking_lot::Mutex;

const KIB: usize = 1024;
/// Smallest and largest class; reads above the largest are allocated and freed each time.
const CLASS_MIN: usize = 4 * KIB;
const CLASSES: usize = 11;
const CLASS_MAX: usize = CLASS_MIN << (CLASSES - 1);
/// Kept per class while unused: 2 MiB or one buffer, so at most 2 × 10 + 4 MiB in all.
const KEPT_BYTES_PER_CLASS: usize = 2 * KIB * KIB;
const _: () = assert!(CLASS_MAX == 4 * KIB * KIB);

struct Class(Mutex<Vec<Box<[u8]>>>);

static POOL: [Class; CLASSES] = [const { Class(Mutex::new(Vec::new())) }; CLASSES];

/// A buffer whose content is whatever an earlier read left there.
pub(crate) struct Buffer {
    data: Box<[u8]>,
    /// Bytes that count; the rest is slack of the class.
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes of undefined content.
    pub(crate) fn new(len: usize) -> Self {
        let reused = class_of(len).and_then(|class| POOL.get(class)?.0.lock().pop());
        let size = class_of(len).map_or(len, |class| CLASS_MIN << class);
        Self { data: reused.unwrap_or_else(|| vec![0; size].into_boxed_slice()), len }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(..self.len).unwrap_or_default()
    }

    /// Forgets all but the first `len` bytes.
    pub(crate) fn shorten(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The first `len` bytes, without a copy.
    pub(crate) fn into_bytes(mut self, len: usize) -> Bytes {
        self.len = self.len.min(len);
        if self.len == 0 { Bytes::new() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.data.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        let Some(class) = class_of(data.len()).filter(|&class| CLASS_MIN << class == data.len()) else { return };
        if let Some(class) = POOL.get(class) {
            let mut kept = class.0.lock();
            if kept.is_empty() || (kept.len() + 1) * data.len() <= KEPT_BYTES_PER_CLASS {
                kept.push(data);
            }
        }
    }
}

/// The smallest class that holds `len` bytes.
fn class_of(len: usize) -> Option<usize> {
    let class = len.max(CLASS_MIN).next_power_of_two().trailing_zeros() - CLASS_MIN.trailing_zeros();
    (len <= CLASS_MAX).then_some(class as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_every_length() {
        assert_eq!(class_of(0), Some(0));
        assert_eq!(class_of(CLASS_MIN), Some(0));
        assert_eq!(class_of(CLASS_MIN + 1), Some(1));
        assert_eq!(class_of(CLASS_MAX), Some(CLASSES - 1));
        assert_eq!(class_of(CLASS_MAX + 1), None);
    }

    #[test]
    fn slices_keep_the_buffer_alive_and_are_cut_to_length() {
        let mut buffer = Buffer::new(5000);
        assert_eq!(buffer.as_mut().len(), 5000);
        buffer.as_mut()[..3].copy_from_slice(b"abc");
        let bytes = buffer.into_bytes(3);
        let slice = bytes.slice(1..);
        drop(bytes);
        assert_eq!(&slice[..], b"bc");
        assert_eq!(Buffer::new(CLASS_MAX + 1).as_mut().len(), CLASS_MAX + 1);
    }
}
