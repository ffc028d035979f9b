//! `docs/configuration.md`, written from the table.

use std::fmt::Write;

use super::setting::Setting;
use super::{foreign, table, topic};

const INTRODUCTION: &str = "\
<!-- Written from crates/broker/src/config by `WRITE_DOCS=1 cargo test -p whimbrel-broker documentation`. -->
# Configuration

Whimbrel reads the keys of Kafka's `server.properties`. A value may be given, the later winning,

1. in a file: `whimbrel start --config server.properties`,
2. in the environment: `WHIMBREL_` and the key in capitals with `_` for every dot (`WHIMBREL_NUM_PARTITIONS=3`); keys \
that begin with `whimbrel.` do not repeat it (`WHIMBREL_HTTP_LISTENER`),
3. on the command line: `--set num.partitions=3`; `--data DIR` is short for `--set log.dirs=DIR`,
4. where the table says so, while the broker runs: `whimbrel config set` or Kafka's `kafka-configs`.

`whimbrel start` names every key that it does not know, with the nearest one that it does, and every key of Kafka's that \
has no effect here.
";

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    differences(&mut page);
    for (title, settings) in table::SECTIONS {
        let _ = writeln!(page, "\n## {title}\n");
        for setting in *settings {
            entry(&mut page, setting);
        }
    }
    topics(&mut page);
    foreign_keys(&mut page);
    page
}

fn differences(page: &mut String) {
    page.push_str(
        "\n## Defaults that differ from Kafka's\n\n| key | Kafka | Whimbrel | because |\n|---|---|---|---|\n",
    );
    for setting in table::all() {
        if let Some((kafka, reason)) = setting.differs {
            let _ = writeln!(page, "| `{}` | {} | {} | {reason} |", setting.name, code(kafka), default(setting));
        }
    }
}

fn entry(page: &mut String, setting: &Setting) {
    let _ = writeln!(page, "### `{}`\n\n{}\n", setting.name, setting.doc);
    let (kind, allowed) = (setting.kind.name(), setting.kind.allowed());
    let _ = writeln!(page, "{kind}, {allowed}; default {}; {}\n", default(setting), setting.update.name());
}

fn default(setting: &Setting) -> String {
    let general = match setting.default {
        None => "unset".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => code(default),
    };
    match setting.default_alone {
        Some(alone) => format!("{}, with `zookeeper.connect` {general}", code(alone)),
        None => general,
    }
}

fn code(text: &str) -> String {
    if text.contains(' ') { text.to_owned() } else { format!("`{text}`") }
}

fn topics(page: &mut String) {
    page.push_str(
        "\n## Topic settings\n\nSet for one topic with `whimbrel topic create --config` or `whimbrel config set`; ",
    );
    page.push_str(
        "a topic that does not set its own takes the broker's.\n\n| key | type | default from | Kafka's default |\n",
    );
    page.push_str("|---|---|---|---|\n");
    for setting in topic::TABLE {
        let synonyms: Vec<String> = setting.synonyms.iter().map(|(synonym, _)| format!("`{}`", synonym.name)).collect();
        let default = if setting.default.is_empty() { "empty".to_owned() } else { code(setting.default) };
        let (name, kind) = (setting.name, setting.kind.name());
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {default} |", synonyms.join(", "));
    }
}

fn foreign_keys(page: &mut String) {
    page.push_str(
        "\n## Keys of Kafka's without effect\n\nThey are named at start when they are set. Those that would leave the ",
    );
    page.push_str("broker less protected than its file says stop it.\n");
    for family in foreign::FAMILIES {
        let keys: Vec<String> = family.keys.iter().map(|key| format!("`{key}`")).collect();
        let mut reason = family.reason.to_owned();
        if let Some(first) = reason.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let _ = writeln!(page, "\n{reason}: {}.", keys.join(", "));
    }
}
