//! One installation: a config file and a state directory of its own, and the built binary run on them.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::Gateway;

/// How long a verb that does not serve may take, the local model's certification apart.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Home {
    directory: TempDir,
    state: PathBuf,
    configured: bool,
}

/// A verb that ran to its end.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// An installation with `config` as its file and an empty state directory.
    pub fn new(config: &str) -> Self {
        let home = Self { configured: true, ..Self::without_config() };
        home.configure(config);
        home
    }

    /// What a newcomer has: nothing.
    pub fn without_config() -> Self {
        let directory = tempfile::Builder::new().prefix("backstop-test-").tempdir().expect("a temporary directory");
        let state = directory.path().join("state");
        Self { directory, state, configured: false }
    }

    /// The same, with its state somewhere else, say on a full disk.
    pub fn with_state(config: &str, state: &Path) -> Self {
        let mut home = Self::new(config);
        home.keep_state_in(state);
        home
    }

    pub fn keep_state_in(&mut self, state: &Path) {
        self.state = state.to_owned();
    }

    /// Replaces the config file, as an editor does: by a rename.
    pub fn configure(&self, config: &str) {
        let new = self.directory.path().join("backstop.yaml.new");
        fs::write(&new, config).expect("the temporary directory can be written");
        fs::rename(&new, self.config()).expect("the temporary directory can be written");
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("backstop.yaml")
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The binary with this installation's options; no config file of anyone else is found.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
        command.args(args).arg("--state-dir").arg(&self.state);
        if self.configured {
            command.arg("--config").arg(self.config());
        }
        command.current_dir(self.path()).env("HOME", self.path()).env_remove("RUST_LOG");
        command
    }

    /// Runs a verb to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// Runs a verb to its end with `input` on its standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        finish(self.command(args), input, PATIENCE)
    }

    /// Runs a verb that must succeed, and gives what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        self.run(args).expect_success(args)
    }

    /// The JSON that a verb which must succeed prints for `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?} --json printed no JSON ({error}): {text}"))
    }

    /// A new client key of the tenant `acme`.
    pub fn key(&self) -> String {
        let key = self.ok(&["keys", "issue", "--tenant", "acme"]).trim().to_owned();
        assert!(key.starts_with("sk-bs-"), "only the key belongs on standard output: {key}");
        key
    }

    /// Seals `secret` under `name`.
    pub fn secret(&self, name: &str, secret: &str) {
        let args = ["vault", "set", name];
        self.run_with(&args, secret).expect_success(&args);
    }

    /// Starts `serve` and waits until it listens.
    pub fn serve(&self) -> Gateway {
        let key = self.key();
        Gateway::start(self.command(&["serve"]), Some(key))
    }
}

impl Ran {
    pub fn expect_success(self, args: &[&str]) -> String {
        assert_eq!(self.code, Some(0), "{args:?} failed\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Both streams, for messages that may be on either.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Failed by itself: with a code of ours, and no panic.
    pub fn expect_failure(self) -> String {
        let said = self.said();
        assert!(
            matches!(self.code, Some(code) if code != 0),
            "it should have failed, and exited {:?}: {said}",
            self.code
        );
        assert!(!said.contains("panicked"), "a fault of the user's must not be a panic: {said}");
        said
    }
}

/// Runs `command` to its end, or ends it after `limit`.
pub fn finish(mut command: Command, input: &str, limit: Duration) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // A verb that does not read its input may close it first.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let deadline = Instant::now() + limit;
    let waiting = std::thread::spawn({
        let pid = child.id();
        move || (pid, child.wait_with_output())
    });
    while !waiting.is_finished() {
        assert!(Instant::now() < deadline, "{command:?} did not end in {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (_, output) = waiting.join().expect("the waiting thread does not panic");
    let output = output.expect("a spawned process can be waited for");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
