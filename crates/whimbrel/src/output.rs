//! Tables for people, JSON for programs.

use std::io::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::args::Format;

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

/// A column: its title, and whether it holds numbers.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints `items`: as one JSON array, or as a table with the cells that `row` makes of each.
    pub fn list<T: Serialize>(
        self,
        items: &[T],
        columns: &[Column],
        row: impl Fn(&T) -> Vec<String>,
    ) -> std::io::Result<()> {
        if self.is_json() {
            return self.json(&items);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(columns.iter().map(|column| match column {
            Column::Text(title) => Cell::new(title),
            Column::Number(title) => Cell::new(title).set_alignment(CellAlignment::Right),
        }));
        for item in items {
            table.add_row(row(item));
        }
        for (index, column) in columns.iter().enumerate() {
            if let (Column::Number(_), Some(column)) = (column, table.column_mut(index)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut stdout = std::io::stdout().lock();
        // Lines end where their text ends, so that they can be compared.
        table.lines().try_for_each(|line| writeln!(stdout, "{}", line.trim_end()))
    }

    /// Prints a value as JSON.
    pub fn json<T: Serialize>(self, value: &T) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut stdout, value)?;
        writeln!(stdout)
    }

    /// Says that something was done: a line, or a value.
    pub fn done<T: Serialize>(self, line: &str, value: &T) -> std::io::Result<()> {
        if self.is_json() { self.json(value) } else { writeln!(std::io::stdout(), "{line}") }
    }
}

/// Whether the reader of our output went away, as `head` does: no error.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    let json = error.chain().find_map(|cause| cause.downcast_ref::<serde_json::Error>());
    let is = |kind| kind == Some(std::io::ErrorKind::BrokenPipe);
    is(io.map(std::io::Error::kind)) || is(json.and_then(serde_json::Error::io_error_kind))
}

/// Numbers separated by commas.
pub fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// A value, or a dash where there is none.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Bytes as text if they are UTF-8, else in base64: what JSON can carry.
pub fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(base64(bytes))),
    }
}

/// Standard base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place) & 63) as usize;
            let letter = if place <= chunk.len() { ALPHABET.get(six).copied().unwrap_or(b'=') } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_text_is_base64() {
        assert_eq!(base64(b"\xff"), "/w==");
        assert_eq!(base64(b"\xff\xfe"), "//4=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(text_or_base64(b"x"), (Some("x"), None));
    }
}
