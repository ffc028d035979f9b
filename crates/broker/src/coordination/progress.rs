//! How far coordination had come when this broker last looked, so that one that went backwards is noticed.
//!
//! ZooKeeper can lose what it had acknowledged: servers restored from a backup, a data directory that was emptied, the
//! bug of 3.9.3. A broker that went on would act on an older state: a leader that is none any more, an in-sync set with
//! replicas that lack records. The transaction id (zxid) and the controller epoch only ever grow, and both are remembered
//! in the first log directory. What is behind them is refused.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::error::CoordinationError;

const NAME: &str = "zookeeper-progress";

/// Larger than any file this module writes.
const BYTES_MAX: u64 = 4096;

/// A point in the life of a cluster. Both numbers only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Point {
    pub(super) zxid: i64,
    pub(super) controller_epoch: i32,
}

impl Point {
    fn max(self, other: Self) -> Self {
        Self { zxid: self.zxid.max(other.zxid), controller_epoch: self.controller_epoch.max(other.controller_epoch) }
    }
}

/// The furthest point seen, in memory and in the file.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    seen: Mutex<Point>,
    /// What the file holds.
    stored: Mutex<Point>,
}

impl Progress {
    /// Reads the file of the first log directory. One that is missing or damaged counts as "nothing seen".
    pub(super) fn load(first_log_dir: &Path) -> Self {
        let path = first_log_dir.join(NAME);
        let point = read(&path).unwrap_or_default();
        Self { path, seen: Mutex::new(point), stored: Mutex::new(point) }
    }

    /// Remembers a transaction id that coordination has shown.
    pub(super) fn note_zxid(&self, zxid: i64) {
        let mut seen = self.seen.lock();
        seen.zxid = seen.zxid.max(zxid);
    }

    /// Remembers a controller epoch that coordination has shown.
    pub(super) fn note_controller_epoch(&self, epoch: i32) {
        let mut seen = self.seen.lock();
        seen.controller_epoch = seen.controller_epoch.max(epoch);
    }

    /// Makes what was seen durable, if that is news.
    pub(super) fn store(&self) -> std::io::Result<()> {
        let mut stored = self.stored.lock();
        let point = *self.seen.lock();
        if *stored != point {
            write(&self.path, point)?;
            *stored = point;
        }
        Ok(())
    }

    /// Compares what coordination shows now with what was seen before, and remembers it.
    ///
    /// # Errors
    /// `WentBackwards` with both sides and what to do.
    pub(super) fn check(&self, now: Point) -> Result<(), CoordinationError> {
        let mut seen = self.seen.lock();
        let behind =
            |what, now, seen| Err(CoordinationError::WentBackwards { what, now, seen, file: self.path.clone() });
        if now.controller_epoch < seen.controller_epoch {
            return behind("controller epoch", now.controller_epoch.to_string(), seen.controller_epoch.to_string());
        }
        if now.zxid < seen.zxid {
            return behind("transaction id", format!("{:#x}", now.zxid), format!("{:#x}", seen.zxid));
        }
        *seen = seen.max(now);
        Ok(())
    }
}

fn read(path: &Path) -> Option<Point> {
    let mut text = String::new();
    File::open(path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Some(Point { zxid: value("zxid")?.parse().ok()?, controller_epoch: value("controller.epoch")?.parse().ok()? })
}

fn write(path: &Path, point: Point) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    write!(file, "zxid={}\ncontroller.epoch={}\n", point.zxid, point.controller_epoch)?;
    file.sync_data()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_data())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(zxid: i64, controller_epoch: i32) -> Point {
        Point { zxid, controller_epoch }
    }

    #[test]
    fn what_is_behind_an_earlier_life_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let first = Progress::load(dir.path());
        first.check(point(0x10_0000_0005, 3))?;
        first.note_zxid(0x10_0000_0009);
        first.store()?;

        let second = Progress::load(dir.path());
        assert!(second.check(point(0x10_0000_0009, 3)).is_ok());
        let error = second.check(point(0x10_0000_0008, 3)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("0x1000000008") && error.contains("0x1000000009"), "{error}");
        assert!(second.check(point(0x20_0000_0000, 2)).is_err());
        assert!(second.check(point(0x20_0000_0000, 4)).is_ok());
        Ok(())
    }

    #[test]
    fn a_damaged_file_counts_as_nothing_seen() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join(NAME), b"zxid=what\n\xff")?;
        assert!(Progress::load(dir.path()).check(point(1, 0)).is_ok());
        Ok(())
    }
}
