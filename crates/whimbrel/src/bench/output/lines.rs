//! `results.jsonl`: one line of JSON for the run, then one for each point.

use std::io::Write;

use crate::bench::result::Line;

/// Writes lines as they come, so that what was measured is there even if the rest fails.
pub struct Lines<W: Write>(W);

impl<W: Write> Lines<W> {
    pub fn new(to: W) -> Self {
        Self(to)
    }

    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, line: &Line) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")?;
        Ok(self.0.flush()?)
    }
}
