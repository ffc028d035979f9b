//! Log lines on the standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::UsageError;
use crate::args::{LogFormat, LoggingArgs};

/// For a server. `RUST_LOG` stands over the option, as Rust programs do it.
///
/// # Errors
/// The filter cannot be read.
pub fn for_server(args: &LoggingArgs) -> Result<(), UsageError> {
    let text = std::env::var("RUST_LOG").unwrap_or_else(|_| args.log.clone());
    let filter = EnvFilter::try_new(&text).map_err(|error| UsageError(format!("log filter \"{text}\": {error}")))?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => lines.json().init(),
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
    Ok(())
}

/// For a tool: warnings, or what `RUST_LOG` asks for.
pub fn for_tools() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().with_target(false).init();
}
