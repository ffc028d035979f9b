//! What a log costs: to take a batch in, to read at its end and far from it, to follow an idempotent producer.

#[path = "../../model/benches/support/records.rs"]
mod records;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use records::{BATCHES_BYTES, CODECS, NOW_MS, batch, name, values};
use tempfile::TempDir;
use whimbrel_model::record::{BatchHeader, Codec, HEADER_BYTES};
use whimbrel_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};
use whimbrel_storage::producer_state::{ProducerStates, Verdict};
use whimbrel_storage::validator::validate;
use whimbrel_storage::{
    AppendOrigin, AppendRules, Creation, LeaderAppend, Log, LogConfig, LogManager, LogManagerConfig, ReadMode,
    TAIL_BYTES_MAX_DEFAULT,
};

/// A log is emptied at this size, while the clock stands: memory is what it lies in.
const LOG_BYTES_MAX: usize = 128 * 1024 * 1024;
/// More than is kept in memory and than a processor's caches hold.
const READ_LOG_BYTES: usize = 3 * TAIL_BYTES_MAX_DEFAULT;
/// What a consumer asks of a partition by default.
const FETCH_BYTES: usize = 1024 * 1024;
const RECORDS: i32 = 160;
const HOW: LeaderAppend = LeaderAppend { leader_epoch: LeaderEpoch(0), origin: AppendOrigin::Client, now_ms: NOW_MS };

/// One log in a folder of its own, which goes with it.
struct Fixture {
    log: Arc<Log>,
    manager: Arc<LogManager>,
    _folder: TempDir,
}

impl Fixture {
    /// In memory where the machine has a folder for it, unless it is told where: the disk is not the question here.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let is_told = std::env::var_os("TMPDIR").is_some();
        let root = if memory.is_dir() && !is_told { memory.to_owned() } else { std::env::temp_dir() };
        let folder = TempDir::with_prefix_in("whimbrel-benches-", root).expect("a folder can be made");
        let (manager, _) = LogManager::open(LogManagerConfig::new(vec![folder.path().to_owned()]), NOW_MS)
            .expect("an empty folder opens");
        let how = Creation { topic_id: None, is_new: true, now_ms: NOW_MS };
        let partition = TopicPartition::new("orders", 0);
        let log = manager.get_or_create(&partition, Arc::new(LogConfig::default()), how).expect("a log can be made");
        Self { log, manager, _folder: folder }
    }

    fn append(&self, batch: &Bytes) {
        black_box(self.log.append_as_leader(black_box(batch), HOW).expect("the batch is in order"));
    }

    /// Returns where to go on.
    fn read(&self, from: Offset) -> Offset {
        let end = self.log.log_end_offset();
        black_box(self.log.read(from, end, FETCH_BYTES, true, ReadMode::MayBlock).expect("it is there")).next_offset
    }

    /// As [`Self::read`], for who sends it: on Linux 6.5 and later it stays in the page cache.
    fn lend(&self, from: Offset) -> Offset {
        let end = self.log.log_end_offset();
        black_box(self.log.read_for_sending(from, end, FETCH_BYTES, true).expect("it is there")).next_offset
    }

    fn bytes_from_files(&self) -> u64 {
        self.manager.dirs().iter().map(|dir| dir.read_bytes).sum()
    }

    fn empty(&self) {
        self.log.truncate_fully_and_start_at(self.log.log_end_offset()).expect("a log can be emptied");
        self.manager.deletion_pass(i64::MAX);
    }
}

fn validation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/validate");
    let rules = AppendRules::default();
    each_batch(|batch_bytes, codec, records| {
        group.throughput(Throughput::Bytes(batch_bytes as u64));
        group.bench_function(name(batch_bytes, codec), |bencher| {
            bencher
                .iter(|| validate(black_box(records), AppendOrigin::Client, NOW_MS, &rules).expect("it is in order"));
        });
    });
}

/// Validation and the write.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/append");
    let fixture = Fixture::new();
    each_batch(|batch_bytes, codec, records| {
        group.throughput(Throughput::Bytes(batch_bytes as u64));
        group.bench_function(name(batch_bytes, codec), |bencher| append_in_turns(bencher, &fixture, records));
        fixture.empty();
    });
}

fn append_in_turns(bencher: &mut Bencher<'_>, fixture: &Fixture, records: &Bytes) {
    bencher.iter_custom(|count| {
        let mut left = count;
        let mut spent = Duration::ZERO;
        while 0 < left {
            let turn = left.min((LOG_BYTES_MAX / records.len()) as u64);
            let began = Instant::now();
            for _ in 0..turn {
                fixture.append(records);
            }
            spent += began.elapsed();
            left -= turn;
            fixture.empty();
        }
        spent
    });
}

/// The sizes are those before compression, so that the codecs can be compared.
fn each_batch(mut measure: impl FnMut(usize, Codec, &Bytes)) {
    for batch_bytes in BATCHES_BYTES {
        let values = values(batch_bytes);
        for codec in CODECS {
            measure(batch_bytes, codec, &batch(&values, codec).expect("the batch is small"));
        }
    }
}

fn read(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let records = batch(&values(BATCHES_BYTES[0]), Codec::None).expect("the batch is small");
    let append = |bytes| (0..bytes / records.len()).for_each(|_| fixture.append(&records));
    append(READ_LOG_BYTES);
    let (start, middle) = (fixture.log.log_start_offset(), fixture.log.log_end_offset());
    // A log keeps its tail in memory from the moment on when a reader has come to its end.
    fixture.read(Offset(middle.0 - 1));
    append(FETCH_BYTES);
    let mut group = criterion.benchmark_group("log/read 1 MiB");
    group.throughput(Throughput::Bytes(FETCH_BYTES as u64));
    group.bench_function("of the tail", |bencher| {
        let before = fixture.bytes_from_files();
        bencher.iter(|| fixture.read(black_box(middle)));
        assert!(fixture.bytes_from_files() == before, "the tail was not read from memory");
    });
    // On through the log like a consumer that is behind: the same place again would lie in the processor's cache.
    let mut through = |name, read: fn(&Fixture, Offset) -> Offset| {
        let mut next = start;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let after = read(&fixture, black_box(next));
                next = if after < middle { after } else { start };
            });
        });
    };
    through("of a segment", Fixture::read);
    through("of a segment, to be sent", Fixture::lend);
}

fn producer_state(criterion: &mut Criterion) {
    let mut states = ProducerStates::new();
    let mut offset = 0;
    let mut group = criterion.benchmark_group("log/producer state");
    group.throughput(Throughput::Elements(1));
    group.bench_function("check and apply", |bencher| {
        bencher.iter(|| {
            let header = header_at(offset);
            match states.check(black_box(&header), None, AppendOrigin::Client).expect("the sequence goes on") {
                Verdict::Append(update) => black_box(states.apply(&update)),
                repeated => panic!("{repeated:?}, and nothing was repeated"),
            };
            offset += i64::from(RECORDS);
        });
    });
}

/// A batch of one idempotent producer, whose sequences follow the offsets around.
fn header_at(offset: i64) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(offset),
        last_offset_delta: RECORDS - 1,
        max_timestamp: NOW_MS,
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: (offset & i64::from(i32::MAX)) as i32,
        record_count: RECORDS,
        ..BatchHeader::decode(&[0; HEADER_BYTES])
    }
}

/// Short: what is close is told apart by repeating whole runs, not by a longer one.
fn quick() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = log; config = quick(); targets = validation, append, read, producer_state }
criterion_main!(log);
