//! The folder of a target: data, configurations and logs of its servers. It may be in memory, so it must not outlive
//! the bench, however that ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

const PREFIX: &str = "whimbrel-target-";
/// Held by the bench that uses the folder.
const LOCK: &str = "lock";

/// A new folder, removed when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Tells later benches that this one lives; the kernel lets go of it even after a `kill -9`.
    _lock: File,
}

impl Folder {
    /// Makes a folder below `parent`, and removes what benches left there that are gone.
    ///
    /// # Errors
    /// `parent` cannot be made or written to.
    pub fn make(parent: &Path) -> anyhow::Result<Self> {
        /// Told apart within one process.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = std::path::absolute(parent)?;
        let failed = || format!("{}: no folder for the systems under test can be made there", parent.display());
        fs::create_dir_all(&parent).with_context(failed)?;
        remove_leftovers(&parent).with_context(failed)?;
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (hidden, path) = (parent.join(format!(".{name}")), parent.join(name));
        // Under its name only with the lock held: another bench must not take it for a leftover.
        fs::create_dir(&hidden).with_context(failed)?;
        let lock = File::create(hidden.join(LOCK)).with_context(failed)?;
        lock.lock().with_context(failed)?;
        fs::rename(&hidden, &path).with_context(failed)?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes its files out of the page cache.
    ///
    /// # Errors
    /// A file cannot be synced. One that is gone meanwhile is none.
    pub fn forget_cached(&self) -> io::Result<()> {
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in present(fs::read_dir(folder))?.into_iter().flatten() {
                let entry = entry?;
                let Some(kind) = present(entry.file_type())? else { continue };
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file()
                    && let Some(file) = present(File::open(entry.path()))?
                {
                    // Only pages that are on the disk can go.
                    file.sync_data()?;
                    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
                }
            }
        }
        Ok(())
    }
}

/// `None` if it is not there: servers remove files at any time.
fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the folder of a system under test cannot be removed");
        }
    }
}

fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)?.filter_map(Result::ok) {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        // A lock that can be taken belonged to a bench that is gone.
        if is_ours && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // Another bench may remove it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bench_left_that_is_gone_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("whimbrel-target-1-0");
        let other = parent.path().join("other");
        for folder in [&left, &other] {
            fs::create_dir(folder).unwrap();
            File::create(folder.join(LOCK)).unwrap();
        }
        let first = Folder::make(parent.path()).unwrap();
        let second = Folder::make(parent.path()).unwrap();
        assert!(!left.exists() && other.exists() && first.path().exists() && second.path().exists());
        drop(first);
        drop(second);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
