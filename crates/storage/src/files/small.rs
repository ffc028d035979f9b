//! Small files that must be whole after a crash at any moment.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces the file `name` in `dir` so that a reader, also after a power cut, finds the old content or the new one.
///
/// Writes `<name>.tmp`, syncs it, renames it and syncs the directory: without the last step the rename itself may be
/// lost, and with it data whose acknowledgement relied on the new content.
///
/// # Errors
/// Whatever the operating system says; the old content is then still in place.
pub(crate) fn replace(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let result = write_synced(&temporary, content)
        .and_then(|()| fs::rename(&temporary, dir.join(name)))
        .and_then(|()| sync_dir(dir));
    if result.is_err() {
        // Left over it would only waste room; the next attempt truncates it anyway.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Like [`replace`] without syncing: whole after the end of this process, not after a power cut.
///
/// For files that are rebuilt from others when they are found missing or old.
pub(crate) fn replace_unsynced(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let result = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, dir.join(name)));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Makes creations, renames and removals in `dir` survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The content, or `None` if there is no such file.
pub(crate) fn read_if_present(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the file; that it is not there is no error.
pub(crate) fn remove_if_present(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
