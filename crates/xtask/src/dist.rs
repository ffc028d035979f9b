//! Builds the binary that is shipped: the `dist` profile with profile-guided optimization.
//!
//! An instrumented build counts, under a load, how often each piece of code runs. With those counts the compiler keeps
//! what runs together together, and what hardly ever runs out of the way. A broker needs that more than most programs: a
//! request goes once through thousands of small functions, none of which is hot, and between two requests the core sleeps
//! and forgets them. (A JVM does the same while it warms up.)

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Loads for a broker alone, as arguments of `whimbrel bench run`: what clients do unless they are told otherwise, and
/// what suits throughput; with and without a codec; steadily, as fast as it goes, and one record at a time.
const ALONE: [&str; 4] = [
    "--acks 1 --record-bytes 100,1024 --rate 20000,max --codec none,lz4 --producers 1,4 --partitions 3",
    "--acks 1 --record-bytes 1024 --rate max --codec none,zstd --batch-bytes 65536 --linger-ms 5 --partitions 3",
    "--acks all --record-bytes 1024 --rate 1000,max --partitions 12",
    "--acks 1 --record-bytes 100 --rate 200 --partitions 1",
];

/// Loads for three brokers.
const REPLICATED: [&str; 2] = [
    "--acks all --record-bytes 100,1024 --rate 20000,max --partitions 3 --replicas 3",
    "--acks all --record-bytes 1024 --rate max --codec lz4 --batch-bytes 65536 --partitions 3 --replicas 3",
];

const PROFDATA: &str = "llvm-profdata";

const FOR_EACH_LOAD: &str = "--consumers 1 --warmup 1 --seconds 1 --no-verify";

/// What the instrumented build is told beside where to count: to note the time at which each function first runs.
const TIMES: &str = "-Cllvm-args=-pgo-temporal-instrumentation";

/// What the optimized build is told beside the counts: what hardly ever runs of a function lies apart from the rest of it.
const SPLIT: &str = "-Cllvm-args=-enable-split-machine-functions";
/// What its linker is told: hot, cold and other functions get a section each (LLD would mix them), in which those that run
/// are in the order in which they first do. So what is used lies together, in few pages and few lines of the cache.
const APART: &str = "-Clink-arg=-Wl,-z,keep-text-section-prefix,--no-warn-symbol-ordering";
const IN_ORDER: &str = "-Clink-arg=-Wl,--symbol-ordering-file=";

/// The only host whose linker is LLD unless it is told otherwise; that of the others does not know all of the above.
const LLD_HOST: &str = "x86_64-unknown-linux-gnu";

/// Hot code of a build that used the counts, at the least.
const HOT_BYTES_MIN: u64 = 128 * 1024;

/// Builds, trains, builds again. Returns where the binary is.
pub fn run() -> Result<PathBuf> {
    let tools = Tools::find()?;
    let counts = tools.work.join("counts");
    remove(&counts)?;

    println!("instrumented build");
    let flags = [format!("-Cprofile-generate={}", counts.display()), TIMES.to_owned()];
    let binary = tools.build("instrumented", &flags)?;
    println!("load");
    // What build scripts and the like may have counted does not belong to it.
    remove(&counts)?;
    train(&Instrumented { binary, counts: counts.clone() })?;
    let (merged, order) = (tools.work.join("whimbrel.profdata"), tools.work.join("order"));
    tools.profdata("merge", &counts, &merged)?;
    tools.profdata("order", &merged, &order)?;
    println!("optimized build");
    let mut flags = vec![format!("-Cprofile-use={}", merged.display()), SPLIT.to_owned()];
    let is_linked_by_lld = tools.host == LLD_HOST;
    if is_linked_by_lld {
        flags.extend([APART.to_owned(), format!("{IN_ORDER}{}", order.display())]);
    }
    let optimized = tools.build("optimized", &flags)?;
    if is_linked_by_lld {
        tools.check_counts_were_used(&optimized)?;
    }

    let to = tools.work.join("whimbrel");
    fs::copy(&optimized, &to).with_context(|| format!("{} cannot be written", to.display()))?;
    Ok(to)
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

fn done(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be run"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?} cannot be run"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The compiler and what belongs to it.
struct Tools {
    cargo: PathBuf,
    host: String,
    /// The folder of LLVM's tools.
    llvm: PathBuf,
    work: PathBuf,
}

impl Tools {
    fn find() -> Result<Self> {
        let rustc = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
        let libraries = PathBuf::from(printed(Command::new(&rustc).args(["--print", "target-libdir"]))?);
        let llvm = libraries.with_file_name("bin");
        if !llvm.join(PROFDATA).exists() {
            bail!("{} has no {PROFDATA}; `rustup component add llvm-tools` installs it", llvm.display());
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let target_dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let work = std::path::absolute(target_dir)?.join("pgo");
        fs::create_dir_all(&work).with_context(|| format!("{} cannot be made", work.display()))?;
        Ok(Self {
            cargo: env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from),
            host: printed(Command::new(&rustc).args(["--print", "host-tuple"]))?,
            llvm,
            work,
        })
    }

    /// Builds the program in the folder `name`. The host is named, so that build scripts and procedural macros are left
    /// as they are.
    ///
    /// Counts belong to functions by name, and in each name is a hash of the profile and of the flags that cargo was
    /// given. So all builds have one profile, and all name one file, out of which the compiler reads what differs.
    fn build(&self, name: &str, flags: &[String]) -> Result<PathBuf> {
        let file = self.work.join("flags");
        fs::write(&file, flags.join("\n")).with_context(|| format!("{} cannot be written", file.display()))?;
        let all_flags = format!("{} @{}", env::var("RUSTFLAGS").unwrap_or_default(), file.display());
        let target_dir = self.work.join(name);
        // Cargo cannot see that the file is another one than last time.
        remove(&target_dir)?;
        let build = ["build", "--locked", "--package", "whimbrel", "--target", &self.host, "--profile", "dist"];
        let mut command = Command::new(&self.cargo);
        command.args(build).env("RUSTFLAGS", all_flags.trim()).env("CARGO_TARGET_DIR", &target_dir);
        done(&mut command)?;
        Ok(target_dir.join(&self.host).join("dist/whimbrel"))
    }

    fn profdata(&self, what: &str, from: &Path, to: &Path) -> Result<()> {
        done(Command::new(self.llvm.join(PROFDATA)).arg(what).arg("--output").arg(to).arg(from))
    }

    /// The compiler says nothing when no name in the counts is one of its functions; but then there is no hot code.
    ///
    /// # Errors
    /// There is none.
    fn check_counts_were_used(&self, binary: &Path) -> Result<()> {
        let sections = printed(Command::new(self.llvm.join("llvm-size")).arg("-A").arg(binary))?;
        let hot = sections.lines().find_map(|line| line.trim_start().strip_prefix(".text.hot"));
        let bytes: u64 = hot.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        ensure!(
            HOT_BYTES_MIN <= bytes,
            "{} was built without the counts: it has {bytes} bytes of hot code, and {HOT_BYTES_MIN} are expected at \
             the least",
            binary.display()
        );
        println!("{bytes} bytes of hot code");
        Ok(())
    }
}

/// The program that counts.
struct Instrumented {
    binary: PathBuf,
    /// The folder in which each process writes what it counted, when it ends.
    counts: PathBuf,
}

impl Instrumented {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        // A file for each process: those with times cannot be merged by the next process to end, which would replace it.
        command.env("LLVM_PROFILE_FILE", self.counts.join("%p.profraw"));
        command
    }
}

/// Runs every load.
fn train(program: &Instrumented) -> Result<()> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    let data = parent.join(format!("whimbrel-dist-{}", std::process::id()));
    let result = train_in(program, &data);
    remove(&data)?;
    result
}

fn train_in(program: &Instrumented, data: &Path) -> Result<()> {
    let first = Broker::start(program, data, 1, None)?;
    for load in ALONE {
        first.serve(program, load)?;
    }
    let others = [2, 3].map(|id| Broker::start(program, data, id, Some(&first.coordination)));
    let others = others.into_iter().collect::<Result<Vec<_>>>()?;
    for load in REPLICATED {
        first.serve(program, load)?;
    }
    // The first one last: the others need its keeper.
    others.into_iter().try_for_each(Broker::stop)?;
    first.stop()
}

struct Broker {
    process: Child,
    address: String,
    coordination: String,
}

impl Broker {
    fn start(program: &Instrumented, data: &Path, id: i32, coordination: Option<&str>) -> Result<Self> {
        let mut command = program.command();
        command.arg("start").arg("--data").arg(data.join(id.to_string()));
        let own =
            [format!("broker.id={id}"), "listeners=PLAINTEXT://127.0.0.1:0".into(), "whimbrel.http.listener=".into()];
        for pair in own.into_iter().chain(coordination.map(|address| format!("zookeeper.connect={address}"))) {
            command.args(["--set", &pair]);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let banner = BufReader::new(process.stdout.take().context("no output")?);
        let mut broker = Self { process, address: String::new(), coordination: String::new() };
        for line in banner.lines() {
            let line = line?;
            let last = line.split_whitespace().last().unwrap_or_default().to_owned();
            match line.split_whitespace().next() {
                Some("listens") => broker.address = last,
                Some("coordination") => broker.coordination = last,
                Some("http") => return Ok(broker),
                _ => {}
            }
        }
        bail!("broker {id} did not start; {:?} start says why", program.binary)
    }

    fn serve(&self, program: &Instrumented, load: &str) -> Result<()> {
        let words = load.split_whitespace().chain(FOR_EACH_LOAD.split_whitespace());
        done(program.command().args(["bench", "run", "--bootstrap-server", &self.address]).args(words))
    }

    /// In order, so that it writes what it counted.
    fn stop(mut self) -> Result<()> {
        done(Command::new("kill").arg(self.process.id().to_string()))?;
        let status = self.process.wait()?;
        ensure!(status.success(), "a broker ended with {status}");
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // After `stop` there is nothing to end.
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}
