//! What all have in common that start servers on this machine: the cluster to play with, and the bench.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Settings with which every topic survives the loss of one of `brokers`, as far as there are enough.
pub fn replication(brokers: usize) -> [(&'static str, String); 3] {
    let replicas = brokers.min(3);
    [
        ("default.replication.factor", replicas.to_string()),
        ("offsets.topic.replication.factor", replicas.to_string()),
        ("min.insync.replicas", replicas.div_ceil(2).to_string()),
    ]
}

/// The last `count` lines of a log.
pub fn tail(log: &Path, count: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Sends a signal to a process that may be gone.
pub fn send_signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal) {
        tracing::debug!(?pid, %error, "the process is gone already");
    }
}
