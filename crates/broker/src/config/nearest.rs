//! The known name that a mistyped one was most likely meant to be.

use super::{table, topic};

/// The broker setting nearest to `key`, if one is near.
#[must_use]
pub fn setting(key: &str) -> Option<&'static str> {
    nearest(key, table::all().map(|setting| setting.name))
}

/// The topic setting nearest to `key`, if one is near.
#[must_use]
pub fn topic_setting(key: &str) -> Option<&'static str> {
    nearest(key, topic::TABLE.iter().map(|setting| setting.name))
}

/// Near means: at most a third of the letters differ.
fn nearest(key: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let (distance, name) = names.map(|name| (edit_distance(key, name), name)).min()?;
    (distance * 3 <= key.len()).then_some(name)
}

/// Levenshtein's distance in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, slot) in b.bytes().zip(row.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *slot;
            left = substituted.min(diagonal + 1).min(left + 1);
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
