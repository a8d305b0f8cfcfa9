//! The library that ends a process at its N-th write (`writes.c`), and the walk over all of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use crate::home::{Home, Ran, finish};

/// Of one act at most so many deaths are tried, evenly over all of its writes: the whole room is to take a minute.
const MOST: u64 = 24;

/// How a process dies at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is not done.
    Before,
    /// By half; what has no halves (a rename, a sync) is done.
    Torn,
}

/// One death: at the `at`th write, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) at: u64,
    pub(super) how: How,
}

/// The shim, built once by the C compiler of this machine.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blackbox/kills/writes.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("writes-{}.so", std::process::id()));
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
        let built = built.unwrap_or_else(|error| {
            panic!("these tests kill the gateway from within, and need a C compiler named `cc` on the path: {error}")
        });
        assert!(built.status.success(), "cc does not build {source}:\n{}", String::from_utf8_lossy(&built.stderr));
        library
    })
}

/// `command`, which dies of `death` at what it writes below `dir`. `when`: counted from when that file is there.
pub(super) fn doomed(mut command: Command, dir: &Path, death: Option<Death>, when: Option<&Path>) -> Command {
    command.env("LD_PRELOAD", library()).env("KILL_BELOW", dir);
    command.env("KILL_AT", death.map_or(0, |death| death.at).to_string());
    command.env("KILL_HOW", if death.is_some_and(|death| death.how == How::Torn) { "torn" } else { "before" });
    if let Some(when) = when {
        command.env("KILL_WHEN", when);
    }
    command
}

/// Runs a verb that dies of `death`; it may come to its end before.
pub(super) fn run(home: &Home, args: &[&str], input: &str, death: Death) -> Ran {
    let ran = finish(doomed(home.command(args), home.state(), Some(death), None), input, Duration::from_secs(60));
    assert!(!ran.said().contains("panicked"), "{ran:?}");
    ran
}

/// How often a verb writes that must succeed.
pub(super) fn writes(home: &Home, args: &[&str], input: &str) -> u64 {
    let count = home.path().join("count");
    let mut command = doomed(home.command(args), home.state(), None, None);
    command.env("KILL_COUNT", &count);
    finish(command, input, Duration::from_secs(60)).expect_success(args);
    let text = fs::read_to_string(count).expect("a process that ends by itself says how much it wrote");
    text.trim().parse().expect("a number")
}

/// All deaths in so many writes, or as many of them as are tried.
pub(super) fn deaths(writes: u64) -> Vec<Death> {
    let all = 2 * writes;
    let tried = all.min(MOST);
    let nth = |index: u64| index * all / tried;
    let death =
        |index: u64| Death { at: index / 2 + 1, how: if index.is_multiple_of(2) { How::Before } else { How::Torn } };
    (0..tried).map(|index| death(nth(index))).collect()
}

/// Another installation with the same config file and the same state.
pub(super) fn twin(home: &Home) -> Home {
    let config = fs::read_to_string(home.config()).expect("it has one");
    let twin = Home::new(&config);
    copy(home.state(), twin.state());
    twin
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary directory can be written");
    let mode = fs::metadata(from).expect("it is there").permissions();
    fs::set_permissions(to, mode).expect("it is ours");
    for entry in fs::read_dir(from).expect("it can be read").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).expect("the temporary directory can be written");
        }
    }
}
