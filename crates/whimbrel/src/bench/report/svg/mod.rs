//! Plots as SVG text: inside the page, and as files of their own with the same marks.

pub mod scale;

use std::fmt::Write;

use super::escape::Escaped;

/// The rules for marks and their colours, in both kinds of places.
pub const STYLE: &str = include_str!("plot.css");
/// A letter's mean width at the size of labels, in pixels, generously.
const LETTER: f64 = 6.3;
/// Above a plot in a file of its own: its title and whose marks are whose.
const HEAD: f64 = 46.0;

/// A drawing in pixels, from the top left.
#[derive(Debug, Clone, Default)]
pub struct Canvas {
    body: String,
}

/// Where a text stands relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#));
    }

    /// A rectangle; `title` is what the reader sees when pointing at it.
    pub fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), title: &str) {
        self.shade(class, at, size, 1.0, title);
    }

    /// A rectangle that lets some of its ground through.
    pub fn shade(&mut self, class: &str, at: (f64, f64), size: (f64, f64), opacity: f64, title: &str) {
        let ((x, y), (width, height)) = (at, (size.0.max(0.0), size.1.max(0.0)));
        self.push(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}""#
        ));
        if opacity < 1.0 {
            self.push(format_args!(r#" fill-opacity="{opacity:.2}""#));
        }
        match title {
            "" => self.push(format_args!("/>")),
            title => self.push(format_args!("><title>{}</title></rect>", Escaped(title))),
        }
    }

    pub fn dot(&mut self, class: &str, at: (f64, f64), title: &str) {
        let (x, y) = at;
        let title = Escaped(title);
        self.push(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="2.6"><title>{title}</title></circle>"#
        ));
    }

    pub fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let (x, y) = at;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = Escaped(text);
        self.push(format_args!(r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#));
    }

    /// A line through points; `label` names it to the reader's cursor.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)], label: &str) {
        if points.len() < 2 {
            if let Some(point) = points.first() {
                self.dot(&format!("dot {class}"), *point, label);
            }
            return;
        }
        self.push(format_args!(r#"<polyline class="{class}" data-label="{}" points=""#, Escaped(label)));
        for (index, (x, y)) in points.iter().enumerate() {
            self.push(format_args!("{}{x:.1},{y:.1}", if index == 0 { "" } else { " " }));
        }
        self.push(format_args!(r#""/>"#));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(text);
    }
}

/// A finished plot.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Tells it from all others of a page; letters, digits and dashes.
    pub name: String,
    /// Above it, where it stands among others of its kind.
    pub caption: String,
    /// What it is, all by itself.
    pub title: String,
    /// What it shows, for those who do not see it.
    pub desc: String,
    pub width: f64,
    /// Where the picture begins: what is above is left out.
    pub top: f64,
    /// Where it ends.
    pub height: f64,
    pub canvas: Canvas,
    /// Class and label of what is told apart by colour.
    pub key: Vec<(String, String)>,
    /// The scales, for a cursor that reads values off.
    pub cursor: Option<Cursor>,
}

/// What a cursor over a plot needs to read it.
#[derive(Debug, Clone)]
pub struct Cursor {
    pub x: scale::Scale,
    pub y: scale::Scale,
    /// `us`, `per-s`: how values are written.
    pub unit: &'static str,
}

impl Figure {
    /// As a part of a page, which has the style and shows title and key itself.
    pub fn inline(&self) -> String {
        self.element("", &self.canvas.body, self.top, self.height - self.top)
    }

    /// As a file of its own.
    pub fn file(&self) -> String {
        let mut head = Canvas::default();
        let title = fit(&self.title, self.width - 16.0, 1.2);
        head.text("heading", (8.0, 18.0), Anchor::Start, &title);
        let mut x = 8.0;
        for (class, label) in &self.key {
            let label = fit(label, self.width - x - 24.0, 1.0);
            head.rect(&format!("swatch {class}"), (x, 30.0), (12.0, 4.0), "");
            head.text("label", (x + 17.0, 36.0), Anchor::Start, &label);
            x += 34.0 + label.chars().count() as f64 * LETTER;
        }
        let body = format!(
            "<style>{STYLE}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/>{}<g transform=\"translate(0 {})\">{}</g>",
            head.body,
            HEAD - self.top,
            self.canvas.body
        );
        self.element(r#" xmlns="http://www.w3.org/2000/svg""#, &body, 0.0, self.height - self.top + HEAD)
    }

    fn element(&self, attributes: &str, body: &str, top: f64, height: f64) -> String {
        let Self { name, width, .. } = self;
        let cursor = self.cursor.as_ref().map_or_else(String::new, |cursor| {
            format!(r#" data-x="{}" data-y="{}" data-unit="{}""#, cursor.x.as_data(), cursor.y.as_data(), cursor.unit)
        });
        format!(
            "<svg{attributes} class=\"plot\" viewBox=\"0 {top} {width} {height}\" role=\"img\" aria-labelledby=\"{name}-t {name}-d\"{cursor}>\
             <title id=\"{name}-t\">{}</title><desc id=\"{name}-d\">{}</desc>{body}</svg>",
            Escaped(&self.title),
            Escaped(&self.desc),
        )
    }
}

/// As much of a text as fits into `width` pixels at `size` times the size of labels.
pub fn fit(text: &str, width: f64, size: f64) -> String {
    let room = (width / (LETTER * size)).max(1.0) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

/// The end of a text that fits into `width` pixels: what tells partitions apart stands there.
pub fn fit_end(text: &str, width: f64) -> String {
    let backwards: String = text.chars().rev().collect();
    fit(&backwards, width, 1.0).chars().rev().collect()
}

/// The class that gives the marks of a system their colour and dashes.
pub fn system_class(system: usize) -> String {
    format!("s{}", system % SYSTEMS_MAX)
}

/// Systems that a palette for all eyes tells apart; further ones begin again.
pub const SYSTEMS_MAX: usize = 6;

/// A name for files and ids.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().take(80) {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            'A'..='Z' => slug.push(letter.to_ascii_lowercase()),
            '.' | '_' => slug.push(letter),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "point".to_owned() } else { slug.to_owned() }
}
