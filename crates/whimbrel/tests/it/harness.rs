//! Starts brokers and runs tools.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Far above what a loaded machine needs; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary with a clean environment.
pub fn whimbrel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WHIMBREL_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

/// A broker in a process of its own; killed when dropped.
pub struct Broker {
    child: Child,
    /// `host:port` of its listener.
    pub address: String,
    /// `http://host:port`.
    pub http: String,
    /// The five lines.
    pub banner: Vec<String>,
}

impl Broker {
    /// Starts a broker and reads its banner.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        Self::try_start(data, more).unwrap_or_else(|output| panic!("broker does not start: {}", stderr(&output)))
    }

    /// As [`Broker::start`]; a broker that ends instead gives its output.
    pub fn try_start(data: &Path, more: &[&str]) -> Result<Self, Output> {
        let mut command = whimbrel();
        command.args(["start", "--data"]).arg(data).args(more);
        let given = |key: &str| more.iter().any(|arg| arg.starts_with(key));
        for (key, value) in [
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("whimbrel.http.listener", "127.0.0.1:0"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("offsets.topic.num.partitions", "3"),
        ] {
            if !given(key) {
                command.arg("--set").arg(format!("{key}={value}"));
            }
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, banner) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let mut log = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = log.read_to_end(&mut text);
            text
        });
        let lines: Vec<String> = (0..5).map_while(|_| banner.recv_timeout(PATIENCE).ok()).collect();
        if lines.len() < 5 {
            let status = child.wait().unwrap();
            return Err(Output { status, stdout: lines.join("\n").into_bytes(), stderr: log.join().unwrap() });
        }
        let last_word = |line: &String| line.split_whitespace().last().unwrap().to_owned();
        let http = last_word(&lines[4]).trim_end_matches("/metrics").to_owned();
        Ok(Self { child, address: last_word(&lines[0]), http, banner: lines })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a tool against this broker.
    pub fn tool(&self, args: &[&str]) -> Output {
        self.tool_with_input(args, "")
    }

    /// Runs a tool against this broker with something on its standard input.
    pub fn tool_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut command = whimbrel();
        command.args(["--bootstrap-server", &self.address]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A tool that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs a tool that must succeed and gives what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        self.ok_with_input(args, "")
    }

    pub fn ok_with_input(&self, args: &[&str], input: &str) -> String {
        let output = self.tool_with_input(args, input);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks the HTTP port.
    pub fn http(&self, path: &str) -> String {
        let address = self.http.trim_start_matches("http://");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends a signal and waits for the end: the exit code, or `None` after a death by signal.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
