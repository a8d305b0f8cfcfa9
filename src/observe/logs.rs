//! Logs: JSON or pretty, to standard error, filtered by config.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{LogFormat, Telemetry};

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("telemetry.log_filter `{filter}` is not a filter such as `info,backstop=debug`")]
    Filter { filter: String, source: ParseError },
    #[error("logs are set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Installs the process-wide subscriber. Once per process.
pub fn install(telemetry: &Telemetry) -> Result<(), LogsError> {
    let filter = EnvFilter::builder()
        .parse(&telemetry.log_filter)
        .map_err(|source| LogsError::Filter { filter: telemetry.log_filter.clone(), source })?;
    let pretty = match telemetry.log_format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if pretty {
        let ansi = std::io::stderr().is_terminal();
        registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_target(false)).try_init()?;
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()?;
    }
    Ok(())
}
