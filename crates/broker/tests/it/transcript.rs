//! What a broker answered to a sequence of requests, as text: one entry per case, one line per run of versions that
//! were answered alike.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// In the order in which they were first asked.
    cases: Vec<(String, Vec<(i16, String)>)>,
}

/// A difference that is meant, with its reason.
pub struct Deliberate {
    /// How the case begins: `Api: case`.
    pub case: &'static str,
    pub versions: std::ops::RangeInclusive<i16>,
    pub reason: &'static str,
}

impl Transcript {
    pub fn note(&mut self, api: &str, case: &str, version: i16, answer: String) {
        let case = format!("{api}: {case}");
        match self.cases.iter_mut().find(|(known, _)| *known == case) {
            Some((_, answers)) => answers.push((version, answer)),
            None => self.cases.push((case, vec![(version, answer)])),
        }
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Self {
        let mut cases: Vec<(String, Vec<(i16, String)>)> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some(answer) = line.strip_prefix("  ") else {
                cases.push((line.to_owned(), Vec::new()));
                continue;
            };
            let (versions, answer) = answer.split_once("  ").expect("versions stand before an answer");
            let (low, high) = versions.split_once("..").unwrap_or((versions, versions));
            let (low, high): (i16, i16) = (low.parse().unwrap(), high.parse().unwrap());
            let answers = &mut cases.last_mut().expect("a case stands before its answers").1;
            answers.extend((low..=high).map(|version| (version, answer.to_owned())));
        }
        Self { cases }
    }

    /// What differs between this, the reference, and `other`. Versions that the reference does not have must be
    /// answered as its newest one.
    pub fn differences(&self, other: &Self, deliberate: &[Deliberate]) -> Vec<String> {
        let expected: BTreeMap<&str, &Vec<(i16, String)>> =
            self.cases.iter().map(|(case, answers)| (case.as_str(), answers)).collect();
        let mut differences = Vec::new();
        for (case, answers) in &other.cases {
            let Some(expected) = expected.get(case.as_str()) else {
                differences.push(format!("{case}\n  is not in the reference"));
                continue;
            };
            let mut seen: BTreeMap<i16, usize> = BTreeMap::new();
            for (version, answer) in answers {
                let nth = seen.entry(*version).or_default();
                let same = expected.iter().filter(|(other, _)| other == version).nth(*nth);
                *nth += 1;
                let Some((of, wanted)) = same.or_else(|| expected.iter().rev().max_by_key(|(version, _)| *version))
                else {
                    continue;
                };
                let meant = deliberate.iter().any(|one| case.starts_with(one.case) && one.versions.contains(version));
                if wanted != answer && !meant {
                    note(&mut differences, case, *version, *of, wanted, answer);
                }
            }
        }
        let missing = self.cases.iter().filter(|(case, _)| !other.cases.iter().any(|(asked, _)| asked == case));
        differences.extend(missing.map(|(case, _)| format!("{case}\n  was not asked")));
        differences
    }
}

/// Adds a difference; what was already seen of another version of the case is only counted.
fn note(differences: &mut Vec<String>, case: &str, version: i16, of: i16, wanted: &str, answer: &str) {
    let common = wanted.bytes().zip(answer.bytes()).take_while(|(a, b)| a == b).count();
    // Some of what is alike, so that the place can be found.
    let from = (0..=common.saturating_sub(60)).rev().find(|at| wanted.is_char_boundary(*at)).unwrap_or(0);
    let what = format!("  kafka:    …{}\n  whimbrel: …{}", &wanted[from..], &answer[from..]);
    match differences.iter_mut().find(|known| known.starts_with(&format!("{case} v")) && known.ends_with(&what)) {
        Some(known) => *known = known.replacen(" v", &format!(" v{version}, v"), 1),
        None => differences.push(format!("{case} v{version} (kafka v{of})\n{what}")),
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, answers) in &self.cases {
            writeln!(f, "{case}")?;
            let mut rest = answers.as_slice();
            while let [(low, answer), ..] = rest {
                let alike = (0..)
                    .zip(rest)
                    .take_while(|(index, (version, other))| *version == low + index && other == answer)
                    .count();
                let high = rest[alike - 1].0;
                if *low == high {
                    writeln!(f, "  {low}  {answer}")?;
                } else {
                    writeln!(f, "  {low}..{high}  {answer}")?;
                }
                rest = &rest[alike..];
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}
