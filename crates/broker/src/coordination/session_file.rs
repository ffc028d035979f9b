//! What a broker remembers of its ZooKeeper session, so that the next life can clear away what this one left.
//!
//! After a crash the session of the dead process lives on for up to its timeout, and its registration with it. The next
//! life may delete that registration only if it can prove that the process is dead: the file says which session it was,
//! and lies in a log directory that is locked by the process that uses it. A copied directory proves nothing, so the
//! file also names the machine's boot and the directory it was written for.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const NAME: &str = "zookeeper-session";

/// Larger than any file this module writes.
const BYTES_MAX: u64 = 4096;

/// The file in the first log directory.
#[derive(Debug, Clone)]
pub(super) struct SessionFile {
    dir: PathBuf,
}

impl SessionFile {
    pub(super) fn new(first_log_dir: &Path) -> Self {
        Self { dir: first_log_dir.to_owned() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// The session of the previous life, if it is surely dead: same boot, same directory, and the caller holds the
    /// directory's lock. Anything else, a damaged file included, is `None`: the session then has to time out.
    pub(super) fn dead_session(&self) -> Option<i64> {
        let mut text = String::new();
        File::open(self.path()).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let mut lines = text.lines();
        let session = lines.next()?.strip_prefix("session=")?;
        let place = lines.next()?.strip_prefix("place=")?;
        (place == self.place().ok()?).then(|| session.parse().ok()).flatten()
    }

    /// Writes the session durably. Must be done before anything is registered in that session.
    pub(super) fn store(&self, session: i64) -> std::io::Result<()> {
        let temporary = self.dir.join(format!("{NAME}.tmp"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        write!(file, "session={session}\nplace={}\n", self.place()?)?;
        file.sync_data()?;
        std::fs::rename(&temporary, self.path())?;
        File::open(&self.dir)?.sync_data()
    }

    fn place(&self) -> std::io::Result<String> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let dir = std::fs::metadata(&self.dir)?;
        Ok(format!("{}/{}/{}", boot.trim(), dir.dev(), dir.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::SessionFile;

    #[test]
    fn a_session_is_known_dead_only_in_the_directory_it_was_written_for() -> std::io::Result<()> {
        let (here, copy) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let file = SessionFile::new(here.path());
        assert_eq!(file.dead_session(), None);
        file.store(-77)?;
        assert_eq!(file.dead_session(), Some(-77));
        let copied = SessionFile::new(copy.path());
        std::fs::copy(file.path(), copied.path())?;
        assert_eq!(copied.dead_session(), None);
        std::fs::write(file.path(), b"session=x\n\xff")?;
        assert_eq!(file.dead_session(), None);
        Ok(())
    }
}
