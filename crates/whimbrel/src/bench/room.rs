//! Room for data: a load is cut short before the systems under test fill the disk, or the memory of the machine.
//!
//! A load that runs as fast as it goes writes gigabytes in seconds, and where they are in memory the kernel ends some
//! process of the machine once there is none left.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::machine;
use super::target::pause;

/// Pause between two looks, in which a load writes a few hundred megabytes.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a system has to remove what the load before has left there. Kafka begins half a minute after its start.
const REMOVAL_WAIT: Duration = Duration::from_secs(60);
/// What is left to others, and to what was sent and is not written yet; on small machines an eighth of all there is.
const RESERVE_BYTES_MAX: u64 = 2 << 30;

/// Bytes below some folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub left_bytes: u64,
    pub total_bytes: u64,
}

impl Room {
    /// What the file system of `folder` has and, where that is in memory, the machine.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(folder)?;
        let disk = Self { left_bytes: disk.f_bavail * disk.f_frsize, total_bytes: disk.f_blocks * disk.f_frsize };
        Ok(match machine::memory() {
            Some(memory) if machine::is_in_memory(folder) => Self {
                left_bytes: disk.left_bytes.min(memory.left_bytes),
                total_bytes: disk.total_bytes.min(memory.total_bytes),
            },
            _ => disk,
        })
    }

    /// Waits until half of this is there again, for a minute at most: who goes on without would measure little.
    pub fn wait_for_half(&self, folder: &Path) {
        let deadline = Instant::now() + REMOVAL_WAIT;
        let has_half = || Self::of(folder).is_ok_and(|now| self.left_bytes / 2 <= now.left_bytes);
        while !has_half() && Instant::now() < deadline {
            pause(LOOK_INTERVAL);
        }
    }

    fn is_short(&self) -> bool {
        self.left_bytes < RESERVE_BYTES_MAX.min(self.total_bytes / 8)
    }
}

/// Looks until it is dropped whether there is room.
pub struct RoomWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RoomWatch {
    /// `short` is told once, in words, that there is hardly any room left below `folder`.
    pub fn start(folder: PathBuf, short: impl FnOnce(&str) + Send + 'static) -> Self {
        let name = folder.display().to_string();
        Self::watch(
            move || Room::of(&folder),
            move |room| {
                let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
                let (left, total) = (gib(room.left_bytes), gib(room.total_bytes));
                short(&format!(
                    "{left:.1} of {total:.1} GiB are left for data in {name}: give it fewer seconds, --data elsewhere, or its \
                 topics retention (topic_config)"
                ));
            },
        )
    }

    fn watch(look: impl Fn() -> io::Result<Room> + Send + 'static, short: impl FnOnce(Room) + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel();
        let watching = move || {
            while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // A folder that cannot be looked at is none that is filled.
                let Ok(room) = look() else { return };
                if room.is_short() {
                    return short(room);
                }
            }
        };
        // Without a thread the load goes on as if there was none.
        let thread = std::thread::Builder::new().name("bench-room".into()).spawn(watching).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for RoomWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn two_gibibytes_are_kept_or_an_eighth_of_less() {
        let is_short = |left_bytes, total_bytes| Room { left_bytes, total_bytes }.is_short();
        assert!(is_short(2 * GIB - 1, 100 * GIB) && !is_short(2 * GIB, 100 * GIB));
        assert!(is_short(GIB - 1, 8 * GIB) && !is_short(GIB, 8 * GIB));
    }

    #[test]
    fn memory_bounds_what_is_kept_in_memory() {
        let folder = Path::new("/dev/shm");
        let (room, memory) = (Room::of(folder).unwrap(), machine::memory().unwrap());
        assert!(machine::is_in_memory(folder) && room.total_bytes <= memory.total_bytes);
        assert!(0 < room.left_bytes && room.left_bytes <= room.total_bytes);
        assert!(Room::of(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn it_is_told_once_that_there_is_no_room_left() {
        let (told, heard) = mpsc::channel();
        let room = Room { left_bytes: 1, total_bytes: GIB };
        let watch = RoomWatch::watch(move || Ok(room), move |room| told.send(room).unwrap());
        assert_eq!(heard.recv(), Ok(room));
        assert!(heard.recv().is_err(), "the watch is over");
        drop(watch);
    }
}
