//! Checkpoints and properties: text as it stands, checkpoints checked for their own count.

use std::path::Path;

use serde::Serialize;

use super::Lines;

#[derive(Serialize)]
struct TextLine<'a> {
    line: &'a str,
}

/// A checkpoint is a version, the number of entries, and one entry a line.
pub(super) fn dump(path: &Path, lines: &mut Lines) -> anyhow::Result<usize> {
    let text = std::fs::read_to_string(path)?;
    for line in text.lines() {
        lines.line(&TextLine { line }, |line| line.line.to_owned())?;
    }
    let is_checkpoint = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("checkpoint"));
    if !is_checkpoint {
        return Ok(0);
    }
    let announced = text.lines().nth(1).and_then(|count| count.parse::<usize>().ok());
    let found = text.lines().count().saturating_sub(2);
    if announced == Some(found) {
        return Ok(0);
    }
    let announced = announced.map_or_else(|| "no number".to_owned(), |count| count.to_string());
    lines.heading(&format!("damaged: {announced} entries are announced, {found} are there"))?;
    Ok(1)
}
