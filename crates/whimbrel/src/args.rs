//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use whimbrel_client::{Cluster, ClusterOptions};

use crate::bench::BenchArgs;
use crate::cluster::ClusterArgs;
use crate::config::ConfigArgs;
use crate::consume::ConsumeArgs;
use crate::group::GroupArgs;
use crate::leader::LeaderArgs;
use crate::log_dump::LogArgs;
use crate::produce::ProduceArgs;
use crate::reassign::ReassignArgs;
use crate::topic::TopicArgs;

/// A message broker that speaks Kafka's protocol, and tools for any Kafka cluster.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub common: Common,
}

impl Cli {
    /// Reads the command line; without a command it is that of `start`.
    pub fn read() -> (Command, Common) {
        let cli = Self::parse_words(std::env::args_os());
        match cli.command {
            Some(command) => (command, cli.common),
            None => {
                let with_start = std::env::args_os().chain(["start".into()]);
                let cli = Self::parse_words(with_start);
                match cli.command {
                    Some(command) => (command, cli.common),
                    None => unreachable!("the command was just added"),
                }
            }
        }
    }

    /// Ends the process where the words are no command line.
    fn parse_words(words: impl IntoIterator<Item = OsString>) -> Self {
        let matches = Self::command().get_matches_from(words);
        let is_bootstrap_given = matches.value_source("bootstrap_server") != Some(ValueSource::DefaultValue);
        match Self::from_arg_matches(&matches) {
            Ok(mut cli) => {
                cli.common.is_bootstrap_given = is_bootstrap_given;
                cli
            }
            Err(error) => error.exit(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a broker (the default)
    Start(StartArgs),
    /// Run the ZooKeeper-compatible keeper on its own
    Keeper(KeeperArgs),
    /// Create, list, describe, alter and delete topics
    Topic(TopicArgs),
    /// List, describe and delete consumer groups, and move their offsets
    Group(GroupArgs),
    /// Send the lines of the standard input to a topic
    Produce(ProduceArgs),
    /// Print the records of topics
    Consume(ConsumeArgs),
    /// Show and change settings of topics and brokers
    Config(ConfigArgs),
    /// Describe the cluster, look for trouble, or start one to play with
    Cluster(ClusterArgs),
    /// Move replicas to other brokers
    Reassign(ReassignArgs),
    /// Elect leaders
    Leader(LeaderArgs),
    /// Look into the files of a log directory
    Log(LogArgs),
    /// Measure any Kafka cluster
    Bench(BenchArgs),
    /// Print the completions for a shell
    Completions { shell: clap_complete::Shell },
}

/// What all tools understand.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Brokers to begin with, separated by commas
    #[arg(
        long,
        short,
        global = true,
        env = "WHIMBREL_BOOTSTRAP_SERVER",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    pub bootstrap_server: String,
    /// Whether it was named, on the command line or in the environment.
    #[arg(skip)]
    pub is_bootstrap_given: bool,
    /// For people, or for programs
    #[arg(long, global = true, default_value = "table")]
    pub format: Format,
    /// How long a request may take, and how long passing errors are tried again
    #[arg(long, global = true, default_value = "30s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

impl Common {
    /// The cluster to talk to. Nothing is connected yet.
    pub fn cluster(&self) -> Cluster {
        let mut options = ClusterOptions::new(&self.bootstrap_server);
        options.retry_for = self.timeout;
        options.connection.request_timeout = self.timeout;
        options.connection.connect_timeout = self.timeout.min(options.connection.connect_timeout);
        Cluster::new(options)
    }
}

#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// A properties file with Kafka's keys
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting; stands over the file and the environment
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The data directory; short for --set log.dirs=DIR
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub logging: LoggingArgs,
}

#[derive(Debug, Clone, Args)]
pub struct LoggingArgs {
    /// How log lines are written to the standard error
    #[arg(long, env = "WHIMBREL_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged, such as "info" or "info,whimbrel_broker=debug"
    #[arg(long, env = "WHIMBREL_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct KeeperArgs {
    #[command(subcommand)]
    pub command: KeeperCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeeperCommand {
    /// Start a keeper
    Start {
        /// Where its tree is kept
        #[arg(long, value_name = "DIR", default_value = "./whimbrel-keeper")]
        data: PathBuf,
        /// Where it listens
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2181")]
        listen: SocketAddr,
        #[command(flatten)]
        logging: LoggingArgs,
    },
}

/// A `key=value` argument.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("\"{text}\" is not of the form key=value")),
    }
}
