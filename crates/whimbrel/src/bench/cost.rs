//! What the processes under test use: CPU, memory, disk, files, threads, as `/proc` tells.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::result::ProcessCost;

/// Pause between two looks. What a process uses between the last of them and a `kill -9` is not seen.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Open files are counted in every so many looks only: the kernel lists them one by one.
const LOOKS_PER_COUNT: u64 = 10;

/// Names and process ids of what runs now. Shared by who starts and ends processes and who measures them, so that a
/// process is not missed that was started and ended in between.
#[derive(Debug, Clone, Default)]
pub struct Roster(Arc<Mutex<BTreeMap<String, u32>>>);

impl Roster {
    pub fn set(&self, name: &str, pid: u32) {
        self.lock().insert(name.to_owned(), pid);
    }

    pub fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// In the order of their names.
    pub fn list(&self) -> Vec<(String, u32)> {
        self.lock().iter().map(|(name, pid)| (name.clone(), *pid)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
        // Whole entries are put in and taken out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&[(String, u32)]> for Roster {
    fn from(processes: &[(String, u32)]) -> Self {
        Self(Arc::new(Mutex::new(processes.iter().cloned().collect())))
    }
}

/// Adds up what processes use from its start to its finish.
#[derive(Debug)]
pub struct CostMeter {
    roster: Roster,
    stop: Sender<()>,
    looking: JoinHandle<Costs>,
}

impl CostMeter {
    /// Measures these processes, by name and process id.
    #[cfg(test)]
    pub fn start(processes: &[(String, u32)]) -> Self {
        Self::follow(&Roster::from(processes))
    }

    /// Measures what the roster names, and what is started under its names meanwhile.
    pub fn follow(roster: &Roster) -> Self {
        let mut costs = Costs::default();
        // Before this returns, so that all that comes later is counted.
        costs.begin(&roster.list());
        let (stop, stopped) = mpsc::channel();
        let followed = roster.clone();
        let looking = std::thread::spawn(move || {
            while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                costs.look(&followed.list());
            }
            costs
        });
        Self { roster: roster.clone(), stop, looking }
    }

    /// What was used, by name. A process that is new under an old name was started in the meantime, and all that it used
    /// is added to what its predecessor did.
    pub fn finish(self) -> Vec<ProcessCost> {
        drop(self.stop);
        let mut costs = self.looking.join().unwrap_or_default();
        costs.looks = 0;
        costs.look(&self.roster.list());
        costs.finish()
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Costs {
    looks: u64,
    of: BTreeMap<String, Cost>,
}

#[derive(Debug, Default)]
struct Cost {
    pid: u32,
    /// When the measurement began; zero for a process that was started later.
    first: Usage,
    last: Usage,
    /// Of its predecessors.
    before: Usage,
    /// `VmHWM` counts from the beginning of the measurement.
    is_peak_exact: bool,
    memory_peak_bytes: u64,
    files: u64,
    threads: u64,
}

impl Costs {
    fn begin(&mut self, processes: &[(String, u32)]) {
        for (name, pid) in processes {
            let first = usage(*pid).unwrap_or_default();
            // "5" sets the peak to what is resident now (proc(5)); other people's processes refuse.
            let is_peak_exact = fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok();
            let cost = Cost { pid: *pid, first, last: first, is_peak_exact, ..Cost::default() };
            self.of.insert(name.clone(), cost);
        }
        self.look(processes);
    }

    fn look(&mut self, processes: &[(String, u32)]) {
        let counts_files = self.looks.is_multiple_of(LOOKS_PER_COUNT);
        self.looks += 1;
        for (name, pid) in processes {
            let cost = self.of.entry(name.clone()).or_default();
            if cost.pid != *pid {
                cost.succeed(*pid);
            }
            cost.look(counts_files);
        }
    }

    fn finish(self) -> Vec<ProcessCost> {
        self.of.into_iter().map(|(name, cost)| cost.finish(name)).collect()
    }
}

impl Cost {
    /// Another process goes on under the name.
    fn succeed(&mut self, pid: u32) {
        self.before = self.used();
        (self.pid, self.first, self.last, self.is_peak_exact) = (pid, Usage::default(), Usage::default(), true);
    }

    fn look(&mut self, counts_files: bool) {
        // A process that is gone keeps what was seen last.
        let Some(usage) = usage(self.pid) else { return };
        self.last = usage;
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let memory = status_value(&status, if self.is_peak_exact { "VmHWM:" } else { "VmRSS:" });
        self.memory_peak_bytes = self.memory_peak_bytes.max(memory.unwrap_or(0) * 1024);
        self.threads = self.threads.max(status_value(&status, "Threads:").unwrap_or(0));
        if counts_files {
            let files = fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count);
            self.files = self.files.max(files as u64);
        }
    }

    fn used(&self) -> Usage {
        Usage {
            cpu_ticks: self.before.cpu_ticks + self.last.cpu_ticks.saturating_sub(self.first.cpu_ticks),
            written_bytes: self.before.written_bytes + self.last.written_bytes.saturating_sub(self.first.written_bytes),
        }
    }

    fn finish(self, name: String) -> ProcessCost {
        let used = self.used();
        ProcessCost {
            name,
            pid: self.pid,
            cpu_seconds: used.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            memory_peak_bytes: self.memory_peak_bytes,
            written_bytes: used.written_bytes,
            files: self.files,
            threads: self.threads,
        }
    }
}

/// What only grows while a process lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    /// User and system.
    cpu_ticks: u64,
    written_bytes: u64,
}

/// `None` when there is no such process.
fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    Some(Usage { cpu_ticks: cpu_ticks(&stat)?, written_bytes: status_value(&io, "write_bytes:").unwrap_or(0) })
}

/// The 14th and 15th field of `/proc/PID/stat`. The second is the program's name, which may hold blanks and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

/// The number behind `key` at the beginning of a line.
fn status_value(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_blanks() {
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 1 0 99 1000 10";
        assert_eq!(cpu_ticks(stat), Some(12));
        assert_eq!(cpu_ticks("12 (a)"), None);
    }

    /// A process that writes `kilobytes` to a file with a sync, computes for a moment, and waits.
    fn busy(folder: &std::path::Path, kilobytes: u32) -> Child {
        let script = format!(
            "dd if=/dev/zero of={}/$$ bs=1024 count={kilobytes} conv=fsync 2>/dev/null; \
             i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; exec sleep 600",
            folder.display()
        );
        let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 4];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        child
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn only_what_is_used_meanwhile_counts() {
        let folder = tempfile::tempdir().unwrap();
        let child = busy(folder.path(), 64);
        let processes = [("broker 1".to_owned(), child.id())];
        let costs = CostMeter::start(&processes).finish();
        end(child);
        let [cost] = &costs[..] else { panic!("one process: {costs:?}") };
        assert_eq!((cost.name.as_str(), cost.pid), ("broker 1", processes[0].1));
        assert!(cost.cpu_seconds < 0.05, "{cost:?}");
        assert!(0 < cost.memory_peak_bytes && 1 <= cost.threads && 3 <= cost.files, "{cost:?}");
    }

    #[test]
    fn processes_that_follow_each_other_under_a_name_are_added_up() {
        let folder = tempfile::tempdir().unwrap();
        let roster = Roster::default();
        let meter = CostMeter::follow(&roster);
        let mut each = Vec::new();
        for _ in 0..3 {
            let child = busy(folder.path(), 64);
            roster.set("broker 1", child.id());
            each.push(usage(child.id()).unwrap().cpu_ticks);
            let (began, seen) = (Instant::now(), 3 * LOOK_INTERVAL);
            while began.elapsed() < seen {
                std::thread::park_timeout(seen);
            }
            roster.remove("broker 1");
            end(child);
        }
        let costs = meter.finish();
        let ticks = costs[0].cpu_seconds * rustix::param::clock_ticks_per_second() as f64;
        let expected = each.iter().sum::<u64>() as f64;
        assert!(expected <= ticks + 0.5 && ticks <= expected + 3.0, "{ticks} of {each:?}");
    }
}
