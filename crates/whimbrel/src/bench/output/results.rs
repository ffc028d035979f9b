//! Where what was found goes: the lines and histograms of a folder, its report, the standard output.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use hdrhistogram::Histogram;

use super::lines::Lines;
use super::{hgrm, table};
use crate::args::Format;
use crate::bench::report;
use crate::bench::result::{Line, Point};

/// What a run has found so far.
pub struct Results {
    folder: Option<PathBuf>,
    file: Option<Lines<File>>,
    stdout: Option<Lines<std::io::Stdout>>,
    lines: Vec<Line>,
}

impl Results {
    /// Results that go into a new or empty place, `folder`, if there is to be one; as JSON lines to the standard output
    /// too, or as a table at the end.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn new(folder: Option<&Path>, format: Format) -> anyhow::Result<Self> {
        let file = folder.map(|folder| {
            fs::create_dir_all(folder)?;
            File::create(folder.join("results.jsonl"))
        });
        let file = file.transpose().with_context(|| match folder {
            Some(folder) => format!("{} cannot be made", folder.display()),
            None => String::new(),
        })?;
        let stdout = (format == Format::Json).then(|| Lines::new(std::io::stdout()));
        Ok(Self { folder: folder.map(Path::to_owned), file: file.map(Lines::new), stdout, lines: Vec::new() })
    }

    /// Keeps a line, and writes it at once.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, line: Line) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            file.write(&line)?;
        }
        if let Some(stdout) = &mut self.stdout {
            stdout.write(&line)?;
        }
        self.lines.push(line);
        Ok(())
    }

    /// Writes the distributions of a point, by what they are of.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn histograms(&self, point: &Point, found: &[(&str, &Histogram<u64>)]) -> anyhow::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for (what, histogram) in found.iter().filter(|(_, histogram)| !histogram.is_empty()) {
            let (system, round) = (&point.system, point.round);
            let name = format!("{}.{}-{}.{round}.{what}", point.name, system.name, system.version);
            let plain = |c: char| if c.is_alphanumeric() || "=.-".contains(c) { c } else { '_' };
            let path = folder.join(format!("{}.hgrm", name.chars().map(plain).collect::<String>()));
            fs::write(&path, hgrm::text(histogram)).with_context(|| format!("{}", path.display()))?;
        }
        Ok(())
    }

    /// Writes the report, and the table for people.
    ///
    /// # Errors
    /// A file or the standard output cannot be written.
    pub fn finish(self) -> anyhow::Result<()> {
        if let Some(folder) = &self.folder {
            fs::write(folder.join("report.html"), report::html(&self.lines))?;
            for (name, svg) in report::svgs(&self.lines) {
                fs::write(folder.join(name), svg)?;
            }
        }
        if self.stdout.is_none() {
            let points = self.lines.iter().filter_map(|line| match line {
                Line::Point(point) => Some(&**point),
                Line::Run(_) => None,
            });
            table::print(&points.collect::<Vec<_>>())?;
            if let Some(folder) = &self.folder {
                println!("{}", folder.join("report.html").display());
            }
        }
        Ok(())
    }
}
