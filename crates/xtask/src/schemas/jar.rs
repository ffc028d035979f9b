//! Reading schemas out of a jar, which is a zip file. Only what jars use: one disk, entries stored or deflated.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// Signatures and fixed sizes, from PKWARE's APPNOTE.TXT.
const END_OF_DIRECTORY: &[u8] = b"PK\x05\x06";
const END_OF_DIRECTORY_BYTES: usize = 22;
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
const DIRECTORY_ENTRY_BYTES: usize = 46;
const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const LOCAL_HEADER_BYTES: usize = 30;

/// Where schemas are inside Kafka's jars.
const FOLDER: &str = "common/message/";

/// A jar in memory, with the places of its schemas.
pub struct Jar {
    bytes: Vec<u8>,
    entries: HashMap<String, Entry>,
}

struct Entry {
    deflated: bool,
    compressed_size: usize,
    header_at: usize,
}

/// Reads the directory of a jar.
pub fn open(path: &Path) -> Result<Jar> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let entries = directory(&bytes).with_context(|| format!("in {}", path.display()))?;
    Ok(Jar { bytes, entries })
}

impl Jar {
    /// Whether the jar has a message's schema.
    pub fn contains(&self, message: &str) -> bool {
        self.entries.contains_key(message)
    }

    /// The text of a message's schema, if the jar has it.
    pub fn schema(&self, message: &str) -> Result<Option<String>> {
        let Some(entry) = self.entries.get(message) else { return Ok(None) };
        let header = slice(&self.bytes, entry.header_at, LOCAL_HEADER_BYTES)?;
        ensure!(header.starts_with(LOCAL_HEADER), "no local header where the directory says");
        let data_at = entry.header_at + LOCAL_HEADER_BYTES + u16_at(header, 26)? + u16_at(header, 28)?;
        let data = slice(&self.bytes, data_at, entry.compressed_size)?;
        let mut text = String::new();
        if entry.deflated {
            flate2::read::DeflateDecoder::new(data).read_to_string(&mut text)?;
        } else {
            text.push_str(std::str::from_utf8(data)?);
        }
        Ok(Some(text))
    }
}

/// The schemas by message name.
fn directory(bytes: &[u8]) -> Result<HashMap<String, Entry>> {
    let end_at = bytes
        .windows(END_OF_DIRECTORY_BYTES)
        .rposition(|window| window.starts_with(END_OF_DIRECTORY))
        .context("not a zip file: no end of directory")?;
    let end = slice(bytes, end_at, END_OF_DIRECTORY_BYTES)?;
    let count = u16_at(end, 10)?;
    let mut at = u32_at(end, 16)?;
    let mut entries = HashMap::new();
    for _ in 0..count {
        let fixed = slice(bytes, at, DIRECTORY_ENTRY_BYTES)?;
        ensure!(fixed.starts_with(DIRECTORY_ENTRY), "the directory is damaged at byte {at}");
        let name_len = u16_at(fixed, 28)?;
        let name = std::str::from_utf8(slice(bytes, at + DIRECTORY_ENTRY_BYTES, name_len)?)?;
        if let Some(message) = name.strip_prefix(FOLDER).and_then(|file| file.strip_suffix(".json")) {
            let deflated = match u16_at(fixed, 10)? {
                0 => false,
                8 => true,
                method => bail!("{name} is compressed by unknown method {method}"),
            };
            let entry = Entry { deflated, compressed_size: u32_at(fixed, 20)?, header_at: u32_at(fixed, 42)? };
            entries.insert(message.to_owned(), entry);
        }
        at += DIRECTORY_ENTRY_BYTES + name_len + u16_at(fixed, 30)? + u16_at(fixed, 32)?;
    }
    Ok(entries)
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    bytes.get(at..).and_then(|rest| rest.get(..len)).with_context(|| format!("the file ends before byte {}", at + len))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<usize> {
    let bytes = slice(bytes, at, 2)?;
    Ok(usize::from(u16::from_le_bytes(bytes.try_into()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    let bytes = slice(bytes, at, 4)?;
    Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
}
