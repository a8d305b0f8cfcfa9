//! How many threads the in-process engine computes on: as the config says, else half of the cores.
//!
//! The tensor library sizes its pool once per process, from its environment, so a process whose environment does not say
//! starts itself again with one that does, before it has done anything. The same process id, the same arguments.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command, thread::available_parallelism};

/// Where the tensor library looks.
const VARIABLE: &str = "CANDLE_NUM_THREADS";

/// Returns when the environment says a number already, or when it could not be given one: the engine then takes every
/// core, which costs speed and nothing else. Two hyperthreads of a core spin against each other, and the
/// proxy wants its share: half of the cores is the faster default.
pub(super) fn settle(configured: Option<usize>) {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let cores = available_parallelism().map_or(1, usize::from);
    let threads = configured.unwrap_or(cores / 2).max(1);
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("backstop"));
    let started = std::env::current_exe()
        .map(|program| Command::new(program).arg0(name).args(arguments).env(VARIABLE, threads.to_string()).exec());
    let (Ok(error) | Err(error)) = started;
    eprintln!("the engine takes every core, because this program could not be started anew: {error}");
}
