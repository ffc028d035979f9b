//! What this broker can prove of its earlier registrations: that nothing of its logs was lost, that it is still the same
//! process. The controller elects leaders by it (`whimbrel_state::controller::election`).
//!
//! Each log directory has a file that says since which broker epoch nothing was lost, and during which boot of the
//! machine that was written. The next life may say the same of itself if every directory still has that file, and
//! either all were closed in order, or the machine has been up ever since: what a killed process had appended is in the
//! page cache then. A directory that was replaced has no file, one that was copied has another place, and a directory
//! that fails takes the files of the others along. Whatever is missing or does not fit proves nothing, which is safe.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tracing::warn;
use whimbrel_model::BrokerEpoch;

const NAME: &str = "broker-continuity";

/// Larger than any file this module writes.
const BYTES_MAX: u64 = 4096;

/// What a registration may claim; `None` where that is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Continuity {
    /// Nothing is lost of what its incarnations from this epoch on had appended.
    pub(super) intact_since: Option<BrokerEpoch>,
    /// It has been the same process since the registration with this epoch.
    pub(super) running_since: Option<BrokerEpoch>,
}

/// The claim of this process, and the directories that bear it out.
#[derive(Debug, Default)]
pub(super) struct Record {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    dirs: Vec<PathBuf>,
    claim: Continuity,
    /// A directory failed: nothing is proved to the next life.
    is_broken: bool,
}

impl Record {
    /// Takes in what the earlier life left. `dirs` are all log directories, with their locks held; `were_closed` says
    /// that each was closed in order.
    pub(super) fn load(&self, dirs: Vec<PathBuf>, were_closed: bool) {
        let files: Option<Vec<(i64, bool)>> = dirs.iter().map(|dir| read(dir, dirs.len())).collect();
        let since = files.filter(|files| were_closed || files.iter().all(|(_, is_same_boot)| *is_same_boot));
        // Directories that disagree were not all written last time: the latest claim is the one they all bear out.
        let intact_since = since.and_then(|files| files.into_iter().map(|(epoch, _)| epoch).max()).map(BrokerEpoch);
        let mut state = self.state.lock();
        state.claim.intact_since = intact_since;
        state.dirs = dirs;
    }

    pub(super) fn claim(&self) -> Continuity {
        self.state.lock().claim
    }

    /// The broker is registered with this epoch: from now on the next life may refer to it.
    pub(super) fn registered(&self, epoch: BrokerEpoch) {
        let mut state = self.state.lock();
        let since = *state.claim.intact_since.get_or_insert(epoch);
        state.claim.running_since.get_or_insert(epoch);
        if state.is_broken {
            return;
        }
        for dir in &state.dirs {
            if let Err(error) = write(dir, since, state.dirs.len()) {
                warn!(dir = %dir.display(), %error, "the next start will not be able to prove that no record was lost");
            }
        }
    }

    /// A log directory failed, with whatever was not yet flushed.
    pub(super) fn break_off(&self) {
        let mut state = self.state.lock();
        state.is_broken = true;
        for dir in &state.dirs {
            if let Err(error) = std::fs::remove_file(dir.join(NAME))
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(dir = %dir.display(), %error, "a claim about the logs cannot be taken back");
            }
        }
    }
}

/// The epoch in a directory's file, and whether the machine has been up since; `None` if it proves nothing here.
fn read(dir: &Path, dirs: usize) -> Option<(i64, bool)> {
    let mut text = String::new();
    File::open(dir.join(NAME)).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let since = lines.next()?.strip_prefix("intact-since=")?.parse().ok()?;
    let boot = lines.next()?.strip_prefix("boot=")?;
    let place = lines.next()?.strip_prefix("place=")?;
    let count: usize = lines.next()?.strip_prefix("directories=")?.parse().ok()?;
    // A machine that does not tell its boots proves nothing by them.
    let is_same_boot = !boot.is_empty() && boot == boot_id();
    (place == self::place(dir).ok()? && count == dirs).then_some((since, is_same_boot))
}

fn write(dir: &Path, since: BrokerEpoch, dirs: usize) -> io::Result<()> {
    let temporary = dir.join(format!("{NAME}.tmp"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    write!(file, "intact-since={since}\nboot={}\nplace={}\ndirectories={dirs}\n", boot_id(), place(dir)?)?;
    file.sync_data()?;
    std::fs::rename(&temporary, dir.join(NAME))?;
    File::open(dir)?.sync_data()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn place(dir: &Path) -> io::Result<String> {
    let dir = std::fs::metadata(dir)?;
    Ok(format!("{}/{}", dir.dev(), dir.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_life(dirs: &[&Path], were_closed: bool) -> Record {
        let record = Record::default();
        record.load(dirs.iter().map(|dir| dir.to_path_buf()).collect(), were_closed);
        record
    }

    #[test]
    fn a_life_that_followed_a_kill_proves_that_its_logs_are_whole() -> io::Result<()> {
        let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let dirs = [one.path(), two.path()];
        let first = next_life(&dirs, false);
        assert_eq!(first.claim(), Continuity::default());
        first.registered(BrokerEpoch(7));
        let both = Continuity { intact_since: Some(BrokerEpoch(7)), running_since: Some(BrokerEpoch(7)) };
        assert_eq!(first.claim(), both);
        // A session that expired: the same process, registered anew.
        first.registered(BrokerEpoch(9));
        assert_eq!(first.claim(), both);

        let second = next_life(&dirs, false);
        assert_eq!(second.claim(), Continuity { intact_since: Some(BrokerEpoch(7)), running_since: None });
        second.registered(BrokerEpoch(12));
        assert_eq!(next_life(&dirs, false).claim().intact_since, Some(BrokerEpoch(7)));
        Ok(())
    }

    #[test]
    fn what_could_have_lost_records_proves_nothing() -> io::Result<()> {
        let (one, two, other) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
        let dirs = [one.path(), two.path()];
        next_life(&dirs, false).registered(BrokerEpoch(7));
        // A replaced directory, one that is missing, a copy.
        assert_eq!(next_life(&[one.path(), other.path()], true).claim(), Continuity::default());
        assert_eq!(next_life(&[one.path()], true).claim(), Continuity::default());
        std::fs::copy(two.path().join(NAME), other.path().join(NAME))?;
        assert_eq!(next_life(&[one.path(), other.path()], true).claim(), Continuity::default());
        // Another boot of the machine, without and with a stop in order.
        let text = std::fs::read_to_string(one.path().join(NAME))?;
        std::fs::write(one.path().join(NAME), text.replace("boot=", "boot=0"))?;
        assert_eq!(next_life(&dirs, false).claim(), Continuity::default());
        assert_eq!(next_life(&dirs, true).claim().intact_since, Some(BrokerEpoch(7)));
        // A directory that failed.
        let broken = next_life(&dirs, true);
        broken.break_off();
        broken.registered(BrokerEpoch(8));
        assert_eq!(next_life(&dirs, true).claim(), Continuity::default());
        Ok(())
    }
}
