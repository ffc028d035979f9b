//! What the machine itself takes at the least: no broker can be faster than the kernel below it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};

/// How long times are measured.
const MEASURED: Duration = Duration::from_millis(600);
/// How long bytes are copied at once, and how often: the best counts, because whatever else runs makes the others worse.
const COPY_MEASURED: Duration = Duration::from_millis(250);
const COPY_ROUNDS: usize = 3;
/// Written at most into the data folder, which may be memory.
const APPEND_BYTES_MAX: u64 = 512 * MIB as u64;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Of an append before each `fdatasync`.
const SYNCED_BYTES: usize = 4 * KIB;
/// A file that is sent, in pieces that end before two packets of loopback are full: larger ones take more CPU.
const SENT_BYTES: usize = 120 * KIB;
const SENT_PIECES: u64 = 512;
/// Of a message that goes to and fro.
const ROUND_TRIP_BYTES: usize = 100;
/// Of a request that is appended: a producer at its defaults sends batches of 16 KiB, each as soon as it is full.
const REQUEST_BYTES: usize = 16 * KIB;
/// And of its answer.
const ANSWER_BYTES: usize = 64;

/// Bytes that went somewhere, and what that took.
#[derive(Debug, Clone, Copy)]
struct Copied {
    bytes: u64,
    elapsed: Duration,
    /// User and system, of all threads that took part unless it is said otherwise.
    cpu: Duration,
}

impl Copied {
    fn gigabytes(&self) -> f64 {
        self.bytes as f64 / 1e9
    }
}

/// Measures for about five seconds. Files are made in `data` and removed; a figure that cannot be had is left out, and
/// the log says why.
///
/// The names have their units at the end: GB is 10^9 bytes, "CPU-s/GB" counts all threads that took part, but for what is
/// sent out of the page cache and for requests: there it is the one alone in whose place a broker is.
pub fn measure(data: &Path) -> BTreeMap<String, f64> {
    let mut limits = BTreeMap::new();
    add_copy(&mut limits, "loopback copy", || loopback_copy(64 * KIB));
    add_copy(&mut limits, "loopback copy, 1 MiB writes", || loopback_copy(MIB));
    add_copy(&mut limits, "page cache to loopback", || page_cache_to_loopback(data));
    add_copy(&mut limits, "page cache append", || append(data, false));
    add_copy(&mut limits, "appended requests, 16 KiB", || appended_requests(data));
    add_copy(&mut limits, "synced append, 1 MiB", || append(data, true));
    add_times(&mut limits, "fdatasync", synced_appends(data));
    add_times(&mut limits, "loopback round trip", round_trips());
    limits
}

fn add_copy(limits: &mut BTreeMap<String, f64>, name: &str, copy: impl Fn() -> io::Result<Copied>) {
    let rounds: io::Result<Vec<Copied>> = (0..COPY_ROUNDS).map(|_| copy()).collect();
    match rounds {
        Ok(rounds) => {
            let rate = |copied: &Copied| copied.gigabytes() / copied.elapsed.as_secs_f64();
            let cost = |copied: &Copied| copied.cpu.as_secs_f64() / copied.gigabytes();
            limits.insert(format!("{name} GB/s"), rounds.iter().map(rate).fold(0.0, f64::max));
            limits.insert(format!("{name} CPU-s/GB"), rounds.iter().map(cost).fold(f64::INFINITY, f64::min));
        }
        Err(error) => tracing::warn!(name, %error, "this limit cannot be measured"),
    }
}

fn add_times(limits: &mut BTreeMap<String, f64>, name: &str, times: io::Result<Vec<Duration>>) {
    match times {
        Ok(mut times) => {
            times.sort_unstable();
            for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
                let at = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
                let time = times.get(at).copied().unwrap_or_default();
                limits.insert(format!("{name} {label} us"), time.as_secs_f64() * 1e6);
            }
        }
        Err(error) => tracing::warn!(name, %error, "this limit cannot be measured"),
    }
}

/// One thread sends and one receives, both in pieces of `piece` bytes.
fn loopback_copy(piece: usize) -> io::Result<Copied> {
    let buffer = vec![b'x'; piece];
    let (received, sent_cpu) = over_loopback(piece, |sender, _| sender.write_all(&buffer))?;
    Ok(Copied { cpu: received.cpu + sent_cpu, ..received })
}

/// What a broker does for a consumer at the least: it has the kernel send a file that is in the page cache.
fn page_cache_to_loopback(data: &Path) -> io::Result<Copied> {
    let mut file = scratch_file(data)?;
    let buffer = vec![b'x'; SENT_BYTES];
    for _ in 0..SENT_PIECES {
        file.write_all(&buffer)?;
    }
    let (received, sent_cpu) = over_loopback(SENT_BYTES, |sender, turn| {
        let from = (turn % SENT_PIECES) * SENT_BYTES as u64;
        send_file(sender, &file, from, SENT_BYTES)
    })?;
    Ok(Copied { cpu: sent_cpu, ..received })
}

#[cfg(target_os = "linux")]
fn send_file(socket: &mut TcpStream, file: &File, mut from: u64, length: usize) -> io::Result<()> {
    let end = from + length as u64;
    while from < end {
        // It moves `from` on.
        let left = usize::try_from(end - from).unwrap_or(usize::MAX);
        if rustix::fs::sendfile(&mut *socket, file, Some(&mut from), left)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn send_file(socket: &mut TcpStream, file: &File, from: u64, length: usize) -> io::Result<()> {
    let mut buffer = vec![0; length];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut buffer, from)?;
    socket.write_all(&buffer)
}

/// Calls `send` over and over, with the number of its turn, while another thread receives pieces of `piece` bytes. Gives
/// what was received, with the receiver's CPU, and the sender's CPU.
fn over_loopback(
    piece: usize,
    mut send: impl FnMut(&mut TcpStream, u64) -> io::Result<()>,
) -> io::Result<(Copied, Duration)> {
    let (mut sender, mut receiver) = connected()?;
    let began = Instant::now();
    let received = std::thread::spawn(move || {
        let cpu = thread_cpu();
        let mut buffer = vec![0; piece];
        let mut bytes = 0;
        while let count @ 1.. = receiver.read(&mut buffer)? {
            bytes += count as u64;
        }
        io::Result::Ok(Copied { bytes, elapsed: began.elapsed(), cpu: thread_cpu() - cpu })
    });
    let (cpu, mut turn) = (thread_cpu(), 0);
    while began.elapsed() < COPY_MEASURED {
        send(&mut sender, turn)?;
        turn += 1;
    }
    // The receiver ends with the connection.
    drop(sender);
    let sent_cpu = thread_cpu() - cpu;
    let received = received.join().map_err(|_| io::Error::other("the receiver panicked"))??;
    Ok((received, sent_cpu))
}

/// Appends to a file, each piece synced or none.
fn append(data: &Path, is_synced: bool) -> io::Result<Copied> {
    let mut file = scratch_file(data)?;
    let buffer = vec![b'x'; MIB];
    let (began, cpu, mut bytes) = (Instant::now(), thread_cpu(), 0);
    while began.elapsed() < COPY_MEASURED && bytes < APPEND_BYTES_MAX {
        file.write_all(&buffer)?;
        if is_synced {
            file.sync_data()?;
        }
        bytes += buffer.len() as u64;
    }
    Ok(Copied { bytes, elapsed: began.elapsed(), cpu: thread_cpu() - cpu })
}

/// What a broker does at the least for each request of a producer: it waits for it, reads it, appends it to the page cache
/// and answers. The next one comes when the answer is there.
fn appended_requests(data: &Path) -> io::Result<Copied> {
    let mut file = scratch_file(data)?;
    let (mut client, mut server) = connected()?;
    let served = std::thread::spawn(move || {
        let (began, cpu, mut bytes) = (Instant::now(), thread_cpu(), 0);
        let mut request = vec![0; REQUEST_BYTES];
        loop {
            poll(&mut [PollFd::new(&server, PollFlags::IN)], None)?;
            match server.read_exact(&mut request) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            file.write_all(&request)?;
            server.write_all(&[0; ANSWER_BYTES])?;
            bytes += request.len() as u64;
        }
        io::Result::Ok(Copied { bytes, elapsed: began.elapsed(), cpu: thread_cpu() - cpu })
    });
    let (request, mut answer) = (vec![b'x'; REQUEST_BYTES], [0; ANSWER_BYTES]);
    let began = Instant::now();
    for _ in 0..APPEND_BYTES_MAX / REQUEST_BYTES as u64 {
        client.write_all(&request)?;
        client.read_exact(&mut answer)?;
        if COPY_MEASURED <= began.elapsed() {
            break;
        }
    }
    // The server ends with the connection.
    drop(client);
    served.join().map_err(|_| io::Error::other("the server panicked"))?
}

/// The times of `fdatasync` after small appends.
fn synced_appends(data: &Path) -> io::Result<Vec<Duration>> {
    let mut file = scratch_file(data)?;
    let buffer = [b'x'; SYNCED_BYTES];
    repeated(|| {
        file.write_all(&buffer)?;
        let began = Instant::now();
        file.sync_data()?;
        Ok(began.elapsed())
    })
}

/// The times from sending a small message to having it back.
fn round_trips() -> io::Result<Vec<Duration>> {
    let (mut near, mut far) = connected()?;
    let echo = std::thread::spawn(move || {
        let mut message = [0; ROUND_TRIP_BYTES];
        // Ends with the connection.
        while far.read_exact(&mut message).is_ok() && far.write_all(&message).is_ok() {}
    });
    let mut message = [b'x'; ROUND_TRIP_BYTES];
    let times = repeated(|| {
        let began = Instant::now();
        near.write_all(&message)?;
        near.read_exact(&mut message)?;
        Ok(began.elapsed())
    });
    drop(near);
    echo.join().map_err(|_| io::Error::other("the echo panicked"))?;
    times
}

fn repeated(mut once: impl FnMut() -> io::Result<Duration>) -> io::Result<Vec<Duration>> {
    let began = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || began.elapsed() < MEASURED {
        times.push(once()?);
    }
    Ok(times)
}

/// Both ends of a connection over loopback.
fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

/// An empty file in `data` that has no name any more, so that nothing stays behind.
fn scratch_file(data: &Path) -> io::Result<File> {
    let path = data.join(format!("whimbrel-bench-limits-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// User and system time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_measured_and_nothing_stays_behind() {
        let data = tempfile::tempdir().unwrap();
        let limits = measure(data.path());
        let names: Vec<&str> = limits.keys().map(String::as_str).collect();
        let expected = [
            "appended requests, 16 KiB CPU-s/GB",
            "appended requests, 16 KiB GB/s",
            "fdatasync p50 us",
            "fdatasync p99 us",
            "loopback copy CPU-s/GB",
            "loopback copy GB/s",
            "loopback copy, 1 MiB writes CPU-s/GB",
            "loopback copy, 1 MiB writes GB/s",
            "loopback round trip p50 us",
            "loopback round trip p99 us",
            "page cache append CPU-s/GB",
            "page cache append GB/s",
            "page cache to loopback CPU-s/GB",
            "page cache to loopback GB/s",
            "synced append, 1 MiB CPU-s/GB",
            "synced append, 1 MiB GB/s",
        ];
        assert_eq!(names, expected);
        assert!(limits.values().all(|value| value.is_finite() && 0.0 < *value), "{limits:?}");
        assert!(limits["fdatasync p50 us"] <= limits["fdatasync p99 us"]);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_leaves_its_figures_out() {
        let limits = measure(Path::new("/nowhere/at/all"));
        assert!(!limits.keys().any(|name| name.starts_with("fdatasync")));
        assert!(limits.contains_key("loopback copy GB/s"));
    }
}
