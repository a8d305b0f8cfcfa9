//! The binary: parses the command line, hands over, and says on standard error what went wrong.

use std::{process::ExitCode, time::Duration};

use backstop::{
    cli::{Cli, run},
    domain::chain,
};
use backstop_models::machine::bound_candle;
use clap::Parser as _;
use tokio::runtime::Runtime;

/// What still runs on a thread of its own at the end (a file that does not answer, say) is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before there is any other thread. Where it comes too late, candle's threads are as many as the cores.
    bound_candle(cli.local_threads());
    let ran = Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let ran = runtime.block_on(run(cli));
        runtime.shutdown_timeout(PATIENCE);
        ran
    });
    match ran {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
