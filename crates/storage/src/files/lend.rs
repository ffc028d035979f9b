//! Parts of segment files that are sent without being read (`sendfile`).
//!
//! A consumer that is behind reads large runs of what was written long ago. Reading them into memory to write them to a
//! socket is two copies of which neither is needed. What is lent here goes from the page cache to the socket.
//!
//! Sending from a file waits for the disk if it has to, and who sends is an async worker. So only what the page cache
//! holds is lent.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use whimbrel_model::SliceSource;

use crate::segment::Segment;

/// Smaller parts are read: a system call more costs as much as the copies.
pub(crate) const BYTES_MIN: usize = 32 * 1024;
/// Where more headers have to be looked at than one for so many bytes, batches are read: each costs as much as the copies.
pub(crate) const BATCH_BYTES_MIN: usize = 8 * 1024;
/// What is larger is looked up in the index, which opens another file. That takes as long as to look at some headers.
pub(crate) const INDEXED_BYTES_MIN: usize = 128 * 1024;
/// Parts that are out at a time. Each may keep a file open that nobody else uses, for as long as its client takes.
const LENT_MAX: usize = 1024;

static LENT: AtomicUsize = AtomicUsize::new(0);

/// A segment's `.log` file while a part of it is out.
struct Lent {
    file: Arc<File>,
    segment: Arc<Segment>,
    cuts: u32,
}

impl SliceSource for Lent {
    fn file(&self) -> &File {
        &self.file
    }

    fn is_intact(&self) -> bool {
        self.segment.cuts() == self.cuts
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lends `file`, the `.log` file of `segment`, which had been cut `cuts` times when its content was looked at. `None` if
/// too much is out.
pub(crate) fn lend(segment: &Arc<Segment>, file: Arc<File>, cuts: u32) -> Option<Arc<dyn SliceSource>> {
    if LENT_MAX <= LENT.fetch_add(1, Ordering::Relaxed) {
        LENT.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    Some(Arc::new(Lent { file, segment: segment.clone(), cuts }))
}

/// Whether the page cache holds `len` bytes from `position` on; `false` where the kernel does not tell (Linux before
/// 6.5, and other systems).
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub(crate) fn is_cached(file: &File, position: u64, len: usize) -> bool {
    use std::os::fd::AsRawFd;

    /// `cachestat(2)`; the `libc` crate has no name for it on these machines yet.
    const SYS_CACHESTAT: libc::c_long = 451;

    /// `struct cachestat_range` of `linux/mman.h`, in bytes.
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }

    /// `struct cachestat`, in pages.
    #[repr(C)]
    #[derive(Default)]
    struct Counted {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }

    let range = Range { offset: position, len: len as u64 };
    let mut counted = Counted::default();
    // SAFETY: the kernel reads one `Range` and fills in one `Counted`; both live and are laid out as it declares them.
    let done = unsafe {
        libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counted, 0 as libc::c_uint)
    };
    if done != 0 || len == 0 {
        return false;
    }
    let page = rustix::param::page_size() as u64;
    let pages = (position + len as u64).div_ceil(page) - position / page;
    pages <= counted.cached
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))))]
pub(crate) fn is_cached(_file: &File, _position: u64, _len: usize) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TMPFS_MAGIC` of `linux/magic.h`: there, what is not in the page cache is nowhere.
    const TMPFS: i64 = 0x0102_1994;

    #[test]
    fn what_is_not_in_the_page_cache_is_not_cached() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, vec![1; 1 << 20]).expect("written");
        let file = File::open(&path).expect("opens");
        let is_told = is_cached(&file, 0, 1 << 20);
        assert_eq!(is_cached(&file, 100, 5000), is_told);
        assert!(!is_cached(&file, 1 << 19, 1 << 20), "the file ends before");
        file.sync_all().expect("synced");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("dropped");
        let is_on_disk = rustix::fs::fstatfs(&file).expect("a file system").f_type as i64 != TMPFS;
        assert_eq!(is_cached(&file, 0, 1 << 20), is_told && !is_on_disk);
    }
}
