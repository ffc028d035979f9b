//! The page: sections of text, tables and plots, in one file that asks for nothing from outside.

mod checks;
mod setup;
mod summary;
mod uptime;

use std::fmt::Write;

use super::escape::Escaped;
use super::model::Results;
use super::plots;
use super::plots::latency::Until;
use super::svg::{Figure, STYLE, system_class};

const PAGE_STYLE: &str = include_str!("page.css");
/// Plots of one kind that are looked at without being asked for.
const PLOTS_MAX: usize = 24;
/// Of more than that, those that stand for the others.
const PLOTS_FEW: usize = 12;
const SCRIPT: &str = include_str!("page.js");

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    /// How it is read, beside it.
    note: String,
    /// Markup.
    content: String,
    /// Its content needs the whole width.
    is_wide: bool,
}

impl Section {
    fn new(id: &'static str, title: &'static str, note: impl Into<String>, content: String) -> Self {
        Self { id, title, note: note.into(), content, is_wide: false }
    }

    fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }
}

/// The whole page.
pub fn page(results: &Results<'_>) -> String {
    let sections: Vec<Section> = sections(results).into_iter().filter(|section| !section.content.is_empty()).collect();
    let title = title(results);
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>{STYLE}{PAGE_STYLE}</style>\n</head>\n<body>\n",
        Escaped(&title)
    );
    let _ = write!(
        page,
        "<header class=\"top\">\n<h1>{}</h1>\n{}\n<nav aria-label=\"Sections\"><ul>",
        Escaped(&title),
        setup::lede(results)
    );
    for section in &sections {
        let _ = write!(page, "<li><a href=\"#{}\">{}</a></li>", section.id, section.title);
    }
    page.push_str("</ul></nav>\n</header>\n<main>\n");
    page.push_str(&checks::alarms(results));
    for section in &sections {
        write_section(&mut page, section);
    }
    let _ = write!(page, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    page
}

fn title(results: &Results<'_>) -> String {
    let labels: Vec<&str> = results.systems.iter().map(|measured| measured.label.as_str()).collect();
    let scenario = results.runs.first().map_or("measurement", |run| &run.scenario);
    match labels.split_last() {
        None => format!("{scenario}: nothing was measured"),
        Some((last, [])) => format!("{scenario}: {last}"),
        Some((last, others)) => format!("{scenario}: {} and {last}", others.join(", ")),
    }
}

fn sections(results: &Results<'_>) -> Vec<Section> {
    vec![
        summary::section(results),
        matrix(results),
        sweeps(results),
        Section::new(
            "percentiles",
            "Latency by percentile",
            "From the intended time of sending, so that a record that had to wait counts its wait. All rounds together. \
             Each step to the right is one more nine; the dot is the slowest record. All plots share one scale.",
            percentiles(results),
        ),
        Section::new(
            "time",
            "Over time",
            "Above: records acknowledged per second, pale in the other rounds. Below: latency; thick the p99 to the \
             acknowledgement, thin its p50, dotted the p99 end to end. Each system by its round in the middle, apart \
             where there were faults. Red bands: faults, as long as they lasted; red ticks: windows with errors; grey: \
             warm-up, not counted.",
            plots_with_key(results, &plots::time::figures(results)),
        ),
        uptime::section(results),
        cost(results),
        checks::verification(results),
        checks::generator(results),
        setup::section(results),
    ]
}

fn percentiles(results: &Results<'_>) -> String {
    let figures = plots::latency::figures(results);
    let mut text = String::new();
    for until in Until::BOTH {
        let of: Vec<&Figure> = figures.iter().filter(|(of, _)| *of == until).map(|(_, figure)| figure).collect();
        if !of.is_empty() {
            let _ = write!(text, "<h3>{}</h3>{}", until.title(), plots_with_key(results, of));
        }
    }
    text
}

fn matrix(results: &Results<'_>) -> Section {
    let mut content = String::new();
    for facet in plots::heat::figures(results) {
        if !facet.title.is_empty() {
            let _ = write!(content, "<h3>{}</h3>", Escaped(&facet.title));
        }
        content.push_str(&plots_with_key(results, &facet.figures));
    }
    let note = "Record sizes up, rates to the right; medians over rounds. Darker is more, on one scale for all systems. \
                Where two systems are compared, the third map is their ratio, in the colour of the better one.";
    Section::new("matrix", "Sizes and rates", note, content)
}

fn sweeps(results: &Results<'_>) -> Section {
    let mut content = String::new();
    for sweep in plots::sweep::figures(results) {
        let _ = write!(content, "<h3>{}</h3>{}", Escaped(&sweep.title), plots_with_key(results, &sweep.figures));
    }
    let note = "Figures against what else was varied while all the rest stayed the same: medians over rounds, the fine \
                line from the least to the most. Both axes are logarithmic.";
    Section::new("sweeps", "By what was varied", note, content)
}

fn cost(results: &Results<'_>) -> Section {
    let bars = plots_with_key(results, &plots::bars::figures(results));
    let content = if bars.is_empty() { bars } else { bars + &summary::processes(results) };
    let each = if plots::bars::are_grouped(results) {
        "A bar stands for all record sizes and rates of what it names."
    } else {
        "Medians over rounds."
    };
    let note = format!(
        "Of all processes under test together. {each} The fine line goes from the least to the most. The whole CPU time is \
         divided once by what came in and once by what went out. A tmpfs counts no bytes as written."
    );
    Section::new("cost", "Cost", note, content)
}

/// Plots side by side where there is room, under the key to their colours; of many all but the first are folded.
fn plots_with_key<'f>(results: &Results<'_>, figures: impl IntoIterator<Item = &'f Figure>) -> String {
    let figures: Vec<&Figure> = figures.into_iter().collect();
    let (shown, folded) = figures.split_at(if PLOTS_MAX < figures.len() { PLOTS_FEW } else { figures.len() });
    if shown.is_empty() {
        return String::new();
    }
    let mut text = system_key(results) + &side_by_side(shown);
    if !folded.is_empty() {
        let _ = write!(text, "<details><summary>{} more</summary>{}</details>", folded.len(), side_by_side(folded));
    }
    text
}

fn side_by_side(figures: &[&Figure]) -> String {
    let mut text = String::from("<div class=\"plots\">");
    for figure in figures {
        let caption = Escaped(&figure.caption);
        let _ = write!(text, "<figure><figcaption>{caption}</figcaption>{}</figure>", figure.inline());
    }
    text + "</div>"
}

fn system_key(results: &Results<'_>) -> String {
    let mut text = String::from("<p class=\"key\">");
    for (system, measured) in results.systems.iter().enumerate() {
        let class = system_class(system);
        let _ = write!(
            text,
            "<span><svg class=\"plot line\" viewBox=\"0 0 30 8\" aria-hidden=\"true\"><polyline class=\"{class}\" points=\"0,4 30,4\"/></svg> \
             <span class=\"name {class}\">{}</span></span> ",
            Escaped(&measured.label)
        );
    }
    text + "</p>"
}

fn write_section(page: &mut String, section: &Section) {
    let Section { id, title, note, content, is_wide } = section;
    let class = if *is_wide { " class=\"wide\"" } else { "" };
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"note\">{note}</p>") };
    let _ = write!(
        page,
        "<section id=\"{id}\"{class} aria-labelledby=\"{id}-h\">\n<div class=\"margin\"><h2 id=\"{id}-h\">{title}</h2>{note}</div>\n\
         <div class=\"content\">{content}</div>\n</section>\n"
    );
}

/// A table that scrolls by itself where the screen is narrow.
fn scrolling(label: &str, table: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">{table}</div>", Escaped(label))
}

/// The name of a system in its colour, as the header of a row.
fn row_header(results: &Results<'_>, system: usize) -> String {
    format!("<th scope=\"row\" class=\"name {}\">{}</th>", system_class(system), Escaped(results.label(system)))
}

/// A header over the rows of a point.
fn point_header(name: &str, columns: usize, mark: &str) -> String {
    format!(
        "<tr class=\"point\"><th scope=\"rowgroup\" colspan=\"{columns}\"><span>{}{mark}</span></th></tr>",
        Escaped(name)
    )
}
