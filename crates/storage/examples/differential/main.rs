//! Random appends, judged by us and by Apache Kafka's own classes: writes `DIR/NAME.cases` for the Java program of
//! the same name and `DIR/NAME.rust` with our verdicts, one line each. See fixtures/README.md.

mod producers;
mod validator;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

fn main() -> io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: differential DIR [SEED]");
        std::process::exit(2);
    };
    let seed = std::env::args().nth(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let create = |name: &str| File::create(directory.join(name)).map(BufWriter::new);
    validator::run(&mut Random::new(seed), &mut create("validator.cases")?, &mut create("validator.rust")?)?;
    producers::run(&mut Random::new(seed), &mut create("producers.cases")?, &mut create("producers.rust")?)
}

/// xorshift64: the cases need variety, not quality.
pub struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `bound - 1`.
    pub fn below(&mut self, bound: i64) -> i64 {
        ((self.bits() >> 11) as i64) % bound
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as i64) as usize
    }

    pub fn one_in(&mut self, chances: i64) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}
