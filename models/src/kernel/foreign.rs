//! Threads that are not ours: candle keeps a pool for some of its operations, as large as the machine unless the environment
//! says otherwise before the pool's first use.

use std::ffi::OsStr;

/// Where candle looks for the number.
const VARIABLE: &str = "CANDLE_NUM_THREADS";

/// Bounds candle's own pool, unless the environment does. Call it before any thread is started: later it does nothing, and
/// says so.
pub fn bound_candle(threads: usize) -> bool {
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    // Linux lists a process's threads.
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if alone {
        // SAFETY: this is the only thread, so nobody reads or writes the environment meanwhile.
        unsafe { std::env::set_var(VARIABLE, OsStr::new(&threads.max(1).to_string())) };
    }
    alone
}
