//! The machine that a measurement ran on.

use std::fs;
use std::path::Path;

use super::result::Machine;
use super::room::Room;

/// This machine; `data` is where the systems under test keep their data. What cannot be told is empty.
pub fn describe(data: &Path) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = rustix::system::uname();
    Machine {
        cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory().map_or(0, |memory| memory.total_bytes),
        kernel: format!("{} {}", kernel.sysname().to_string_lossy(), kernel.release().to_string_lossy()),
        data_filesystem: filesystem_of(data),
    }
}

/// The machine's memory; what is left is what programs can have without swapping. `None` if the kernel does not tell.
pub fn memory() -> Option<Room> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    Some(Room { left_bytes: bytes(&meminfo, "MemAvailable:")?, total_bytes: bytes(&meminfo, "MemTotal:")? })
}

/// Whether the files below a folder are in memory alone.
pub fn is_in_memory(folder: &Path) -> bool {
    ["tmpfs", "ramfs"].contains(&filesystem_of(folder).as_str())
}

/// Empty if it cannot be told.
fn filesystem_of(folder: &Path) -> String {
    // The mounts tell of real paths only.
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    filesystem(&mounts, &folder).unwrap_or_default().to_owned()
}

/// `model name : …` of the first core; ARM's kernels name none.
fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// `MemTotal:  24689012 kB`.
fn bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The type of the file system that `path` is on: of the deepest mount above it, and of those at one place the last,
/// which hides the others. A line is `36 35 98:0 /root /mount/point options… - type source options` (proc(5)).
fn filesystem<'a>(mountinfo: &'a str, path: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (before, after) = line.split_once(" - ")?;
        let point = Path::new(before.split(' ').nth(4)?);
        path.starts_with(point).then_some((point.components().count(), after.split(' ').next()?))
    };
    mountinfo.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
25 22 0:23 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=12G
28 25 0:26 / /dev/shm rw,nosuid shared:4 - ramfs none rw
29 25 0:27 / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw
";

    #[test]
    fn the_deepest_and_last_mount_above_a_path_is_its_own() {
        let kind = |path: &str| filesystem(MOUNTS, Path::new(path));
        assert_eq!(kind("/home/data"), Some("ext4"));
        assert_eq!(kind("/dev/shm/data"), Some("tmpfs"));
        assert_eq!(kind("/dev/shmoo"), Some("devtmpfs"));
        assert_eq!(filesystem("", Path::new("/")), None);
    }

    #[test]
    fn cpu_and_memory_are_read() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t: a\n"), Some("A CPU @ 2 GHz"));
        assert_eq!(bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(2048 * 1024));
    }

    #[test]
    fn this_machine_is_described() {
        let machine = describe(Path::new("/proc"));
        assert_eq!(machine.data_filesystem, "proc");
        assert!(1 <= machine.cores && 0 < machine.memory_bytes && machine.kernel.starts_with("Linux "), "{machine:?}");
    }
}
