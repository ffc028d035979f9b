//! `whimbrel log dump`: what is in the files of a log directory, Kafka's or ours.

mod indexes;
mod segment;
mod text;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::UsageError;
use crate::args::Format;

#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Print a segment, an index, a snapshot of producers, or a checkpoint
    Dump {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print the records of segments too
        #[arg(long, short)]
        deep: bool,
        /// With --deep: print keys, values and headers
        #[arg(long, requires = "deep")]
        data: bool,
    },
}

/// What a file is, by its name.
enum FileKind {
    Segment,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    ProducerSnapshot,
    Text,
}

impl FileKind {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        // Files on their way out, or half made, are read like the others.
        let suffixes = [".deleted", ".cleaned", ".swap"];
        let name = suffixes.iter().fold(name, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "log" => Some(Self::Segment),
            "index" => Some(Self::OffsetIndex),
            "timeindex" => Some(Self::TimeIndex),
            "txnindex" => Some(Self::TxnIndex),
            "snapshot" => Some(Self::ProducerSnapshot),
            "properties" | "metadata" => Some(Self::Text),
            _ if name.ends_with("checkpoint") => Some(Self::Text),
            _ => None,
        }
    }
}

/// Prints lines: as text, or as JSON with one object a line.
pub(crate) struct Lines {
    format: Format,
    out: std::io::BufWriter<std::io::StdoutLock<'static>>,
}

impl Lines {
    fn new(format: Format) -> Self {
        Self { format, out: std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout().lock()) }
    }

    /// Prints one thing, as the text or as the value.
    pub(crate) fn line<T: Serialize>(&mut self, value: &T, text: impl FnOnce(&T) -> String) -> std::io::Result<()> {
        use std::io::Write;
        match self.format {
            Format::Table => self.out.write_all(text(value).as_bytes())?,
            Format::Json => serde_json::to_writer(&mut self.out, value)?,
        }
        self.out.write_all(b"\n")
    }

    /// Prints a line that only people need.
    pub(crate) fn heading(&mut self, text: &str) -> std::io::Result<()> {
        use std::io::Write;
        if self.format == Format::Table { writeln!(self.out, "{text}") } else { Ok(()) }
    }

    fn finish(mut self) -> std::io::Result<()> {
        std::io::Write::flush(&mut self.out)
    }
}

pub fn run(args: &LogArgs, format: Format) -> anyhow::Result<()> {
    let LogCommand::Dump { files, deep, data } = &args.command;
    let mut lines = Lines::new(format);
    let mut damaged = 0;
    for path in files {
        let kind = FileKind::of(path).ok_or_else(|| {
            let known = "a .log, .index, .timeindex, .txnindex, .snapshot, checkpoint or meta.properties file";
            UsageError(format!("{}: not {known}", path.display()))
        })?;
        lines.heading(&format!("# {}", path.display()))?;
        let shown = || path.display().to_string();
        damaged += match kind {
            FileKind::Segment => segment::dump(path, *deep, *data, &mut lines).with_context(shown)?,
            FileKind::OffsetIndex => indexes::offsets(path, &mut lines).with_context(shown)?,
            FileKind::TimeIndex => indexes::times(path, &mut lines).with_context(shown)?,
            FileKind::TxnIndex => indexes::transactions(path, &mut lines).with_context(shown)?,
            FileKind::ProducerSnapshot => indexes::producers(path, &mut lines).with_context(shown)?,
            FileKind::Text => text::dump(path, &mut lines).with_context(shown)?,
        };
    }
    lines.finish()?;
    anyhow::ensure!(damaged == 0, "{damaged} damaged places");
    Ok(())
}

/// The base offset that a file of a segment has in its name.
pub(crate) fn base_offset(path: &Path) -> anyhow::Result<i64> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().with_context(|| format!("the name does not begin with an offset: {name}"))
}
