//! Prints random messages of every kind and version, for `./test wire-java`: one line each with `request`, `response` or
//! `stored`, the API key or the name, the version, and the bytes in hexadecimal.

#[path = "../tests/it/sample.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod sample;

use std::fmt::Write as _;

use sample::{Random, message};
use whimbrel_wire::spec::MessageSpec;
use whimbrel_wire::{API_TABLE, STORED_MESSAGES};

/// Samples of each message at each version.
const SAMPLES: u64 = 20;

fn main() {
    for api in API_TABLE {
        print_samples("request", &api.key.code().to_string(), api.request);
        print_samples("response", &api.key.code().to_string(), api.response);
    }
    for spec in STORED_MESSAGES {
        print_samples("stored", spec.body.name, spec);
    }
}

fn print_samples(kind: &str, name: &str, spec: &MessageSpec) {
    for version in spec.valid.low..=spec.valid.high {
        for seed in 0..SAMPLES {
            let mut hex = String::new();
            for byte in message(spec, version, &mut Random::new(seed << 8 | version as u64)) {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
            }
            println!("{kind} {name} {version} {hex}");
        }
    }
}
