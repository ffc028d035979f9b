//! Numbers as people read them: three digits and a unit.

/// A unit that a value is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things per second.
    PerSecond,
    Microseconds,
    Milliseconds,
    Bytes,
    /// 10^6 bytes per second.
    MegabytesPerSecond,
    /// Seconds of CPU for 10^9 bytes.
    CpuSecondsPerGigabyte,
    /// A share of one.
    Share,
    Count,
}

impl Unit {
    /// `value` with its unit; a dash for what is no number.
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        match self {
            Self::PerSecond => format!("{}/s", scaled(value)),
            Self::Microseconds => microseconds(value),
            Self::Milliseconds => microseconds(value * 1000.0),
            Self::Bytes => bytes(value),
            Self::MegabytesPerSecond => format!("{} MB/s", digits(value)),
            Self::CpuSecondsPerGigabyte => format!("{} s/GB", digits(value)),
            Self::Share => share(value),
            Self::Count => grouped(value),
        }
    }
}

fn microseconds(us: f64) -> String {
    match us.abs() {
        size if size < 999.5 => format!("{} µs", digits(us)),
        size if size < 999_500.0 => format!("{} ms", digits(us / 1e3)),
        _ => format!("{} s", digits(us / 1e6)),
    }
}

/// Bytes in binary units, as memory and record sizes are counted.
fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = 0;
    while 999.5 <= value.abs() && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", digits(value), UNITS[unit])
}

/// `1.2 M`, `10 k`, `100`.
pub fn scaled(value: f64) -> String {
    match value.abs() {
        size if size < 999.5 => digits(value),
        size if size < 999_500.0 => format!("{} k", digits(value / 1e3)),
        size if size < 999_500_000.0 => format!("{} M", digits(value / 1e6)),
        _ => format!("{} G", digits(value / 1e9)),
    }
}

/// How many times as much: `2.4×`.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if !ratio.is_finite() => "–".to_owned(),
        ratio if (0.095..9.995).contains(&ratio) => format!("{ratio:.2}×"),
        ratio => format!("{}×", digits(ratio)),
    }
}

/// Keeps the nines of an availability: 0.99995 is not 100 %.
fn share(share: f64) -> String {
    let percent = share * 100.0;
    let shown = if percent < 99.9 { format!("{percent:.1}") } else { format!("{percent:.3}") };
    let shown = if shown.starts_with("100") && percent < 100.0 { "99.999".to_owned() } else { shown };
    format!("{} %", trimmed(&shown))
}

/// Three digits, without an exponent and without zeros that say nothing.
fn digits(value: f64) -> String {
    let shown = match value.abs() {
        size if size < 0.0005 => "0".to_owned(),
        size if size < 0.995 => format!("{value:.3}"),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => return grouped(value),
    };
    trimmed(&shown).to_owned()
}

fn trimmed(shown: &str) -> &str {
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { shown }
}

/// A whole number with its thousands apart.
pub fn grouped(value: f64) -> String {
    let whole = format!("{value:.0}");
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole.as_str()), |whole| ("-", whole));
    let mut text = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index != 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
