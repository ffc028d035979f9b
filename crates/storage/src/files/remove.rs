//! Removing files beside other work.

use std::fs::{self, File, Metadata};
use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Work that took at least this long is followed by a rest.
const STRETCH_MIN: Duration = Duration::from_millis(2);
/// What took longer mostly waited for the disk, and took nobody's core.
const REST_MAX: Duration = Duration::from_millis(100);
/// Of a file that is to go, this much at a time is taken out of the page cache before.
const STEP_BYTES: NonZeroU64 = NonZeroU64::new(16 * 1024 * 1024).expect("positive");

/// Leaves about half of a core to others: after each stretch of work comes a rest of the same length. To remove a gigabyte
/// that lies in memory takes a core for 0.1 to 0.2 s, and whoever serves clients would wait for it.
#[derive(Default)]
pub(crate) struct Pace {
    worked: Duration,
}

impl Pace {
    #[expect(clippy::disallowed_methods, reason = "a thread that may block, and the rest is the point")]
    fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.worked += started.elapsed();
        if STRETCH_MIN <= self.worked {
            thread::sleep(self.worked.min(REST_MAX));
            self.worked = Duration::ZERO;
        }
        result
    }
}

/// Removes a file, or a directory with everything in it. What a symbolic link points to stays.
///
/// # Errors
/// Whatever the operating system says about the first that cannot be removed.
pub(crate) fn remove_paced(path: &Path, pace: &mut Pace) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        forget_cached(path, &metadata, pace);
        return pace.work(|| fs::remove_file(path));
    }
    // Listed before anything goes: some file systems pass over entries otherwise.
    let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    for entry in entries {
        match remove_paced(&entry.path(), pace) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::remove_dir(path)
}

/// Takes a large file out of the page cache, as its removal would in one go. Cutting the file shorter step by step would do
/// the same on every file system, but harm those who still read it, or have a hard link to it for a backup. What fails here
/// the removal does.
#[cfg(target_os = "linux")]
fn forget_cached(path: &Path, metadata: &Metadata, pace: &mut Pace) {
    if !metadata.is_file() || metadata.len() <= STEP_BYTES.get() {
        return;
    }
    let Ok(file) = File::open(path) else { return };
    let mut at = 0;
    while at < metadata.len() {
        if pace.work(|| rustix::fs::fadvise(&file, at, Some(STEP_BYTES), rustix::fs::Advice::DontNeed)).is_err() {
            return;
        }
        at += STEP_BYTES.get();
    }
}

#[cfg(not(target_os = "linux"))]
fn forget_cached(_path: &Path, _metadata: &Metadata, _pace: &mut Pace) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_work_comes_a_rest_as_long() {
        let (mut pace, started) = (Pace::default(), Instant::now());
        let half_a_stretch = || {
            let started = Instant::now();
            while started.elapsed() < STRETCH_MIN / 2 {}
        };
        (0..2).for_each(|_| pace.work(half_a_stretch));
        assert!(2 * STRETCH_MIN <= started.elapsed());
        assert_eq!(pace.worked, Duration::ZERO);
    }

    #[test]
    fn a_directory_goes_with_all_that_is_in_it_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let (doomed, other) = (dir.path().join("doomed"), dir.path().join("other"));
        fs::create_dir_all(doomed.join("a/b")).expect("made");
        fs::write(doomed.join("a/b/file"), "x").expect("written");
        fs::create_dir(&other).expect("made");
        fs::write(other.join("file"), "x").expect("written");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&other, doomed.join("link")).expect("linked");
        let mut pace = Pace::default();
        remove_paced(&doomed, &mut pace).expect("removed");
        assert!(!doomed.exists() && other.join("file").exists());
        assert_eq!(remove_paced(&doomed, &mut pace).expect_err("gone").kind(), io::ErrorKind::NotFound);
        remove_paced(&other.join("file"), &mut pace).expect("removed");
        assert!(!other.join("file").exists());
    }
}
