//! Positioned reads that may refuse to wait for the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Only what the page cache holds; otherwise the outcome says "would block". For async workers.
    NoWait,
    /// Wait for the disk. For threads that may block.
    MayBlock,
}

/// Reads up to `buffer.len()` bytes at `position`; fewer only at the end of the file.
///
/// # Errors
/// `WouldBlock` in [`ReadMode::NoWait`] if a part of it is not in the page cache.
pub(crate) fn read_at(file: &File, mut buffer: &mut [u8], mut position: u64, mode: ReadMode) -> io::Result<usize> {
    let wanted = buffer.len();
    while !buffer.is_empty() {
        match read_some(file, buffer, position, mode) {
            Ok(0) => break,
            Ok(n) => {
                buffer = buffer.get_mut(n..).unwrap_or_default();
                position += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - buffer.len())
}

/// Like [`read_at`], but an end of file before the buffer is full is an error.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], position: u64, mode: ReadMode) -> io::Result<()> {
    let wanted = buffer.len();
    if read_at(file, buffer, position, mode)? < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn read_some(file: &File, buffer: &mut [u8], position: u64, mode: ReadMode) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    if mode == ReadMode::NoWait {
        match preadv2(file, &mut [io::IoSliceMut::new(buffer)], position, ReadWriteFlags::NOWAIT) {
            // Some file systems do not know the flag; a plain read is then all there is.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    file.read_at(buffer, position)
}

#[cfg(not(target_os = "linux"))]
fn read_some(file: &File, buffer: &mut [u8], position: u64, _mode: ReadMode) -> io::Result<usize> {
    file.read_at(buffer, position)
}
