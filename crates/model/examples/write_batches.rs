//! Writes batches of every codec and level into a directory, each with its contents as text, to be read and compared
//! by Kafka's own classes: see fixtures/README.md.

#[path = "../tests/it/describe.rs"]
mod describe;

use std::fs;
use std::path::{Path, PathBuf};
use whimbrel_model::record::{BatchBuilder, BatchOptions, Codec, Compression, EndTxnMarker};
use whimbrel_model::{ProducerEpoch, ProducerId};

fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: write_batches DIR");
        std::process::exit(2);
    };
    fs::create_dir_all(&directory)?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let templates = ["none", "blocks-zstd", "idempotent", "log-append-time", "transactional"];
    for codec in Codec::ALL {
        let default = Some(codec.default_level());
        let ends = codec.levels().map(|levels| [*levels.start(), *levels.end()]);
        for level in default.into_iter().chain(ends.into_iter().flatten()) {
            let Some(compression) = Compression::with_level(codec, level) else { continue };
            for template in templates {
                let bytes = fs::read(fixtures.join(template).with_extension("batch"))?;
                let batch = describe::rebuild(&bytes, compression);
                save(&directory, &format!("{template}-{codec}-{level}"), &batch)?;
            }
            save(&directory, &format!("noise-{codec}-{level}"), &noise(compression))?;
        }
    }
    for is_commit in [true, false] {
        let marker = EndTxnMarker { is_commit, coordinator_epoch: 77, timestamp: 1_700_000_000_000 };
        let batch = marker.to_batch(ProducerId(9), ProducerEpoch(3)).map_err(std::io::Error::other)?;
        save(&directory, &format!("marker-{is_commit}"), &batch)?;
    }
    Ok(())
}

/// What no codec can compress, more than one block of it.
fn noise(compression: Compression) -> Vec<u8> {
    let mut state = 1u64;
    let value: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    })
    .take(150_000)
    .collect();
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    let built = builder.append(5, None, Some(&value), []).and_then(|()| builder.build());
    built.map(|batch| batch.to_vec()).unwrap_or_default()
}

fn save(directory: &Path, name: &str, batch: &[u8]) -> std::io::Result<()> {
    fs::write(directory.join(name).with_extension("batch"), batch)?;
    fs::write(directory.join(name).with_extension("txt"), describe::describe(batch))
}
