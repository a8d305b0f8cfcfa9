//! The built binary, serving: started on a free port, watched, and ended by its own process id.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::client::Client;

/// Long enough for a model to be loaded on a busy machine; pulling and certifying have a bound of their own.
const START: Duration = Duration::from_secs(120);

/// What `serve` may need to pull, load and certify on a busy machine.
pub const FIRST_START: Duration = Duration::from_secs(400);

/// How many lines of the log a failed test shows.
const TOLD: usize = 40;

const STOP: Duration = Duration::from_secs(20);

pub struct Gateway {
    child: Child,
    base: String,
    key: String,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts `command` and waits until it says where it listens. Without a `key`, the one that it prints is taken.
    pub fn start(command: Command, key: Option<String>) -> Self {
        Self::start_within(command, key, START)
    }

    pub fn start_within(mut command: Command, key: Option<String>, limit: Duration) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary was built");
        let mut gateway = Self { child, base: String::new(), key: String::new(), log: Arc::default() };
        let lines = gateway.listen_to_output();
        let deadline = Instant::now() + limit;
        let mut printed = None;
        while gateway.base.is_empty() || (key.is_none() && printed.is_none()) {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some((_, base)) = line.split_once("listening on ") {
                        gateway.base = base.trim().trim_end_matches('/').to_owned();
                    }
                    if let Some(key) = line.trim().strip_prefix("key: ") {
                        printed = Some(key.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("not serving after {limit:?}; it said:\n{}", gateway.log()),
                Err(RecvTimeoutError::Disconnected) => panic!("serve ended by itself; it said:\n{}", gateway.log()),
            }
        }
        gateway.key = key.or(printed).expect("the loop above ends with one of them");
        gateway
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.base
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// A client with the right key.
    pub fn client(&self) -> Client {
        Client::new(&self.base, &self.key)
    }

    /// All that it wrote so far, both streams, line by line.
    pub fn log(&self) -> String {
        self.log.lock().expect("no test panics while it holds this").clone()
    }

    /// Waits until a line of the log has `what`.
    pub async fn logged(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(what) {
            assert!(Instant::now() < deadline, "no line with `{what}` in 20 s:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        1024 * self.proc_status("VmRSS:")
    }

    pub fn threads(&self) -> u64 {
        self.proc_status("Threads:")
    }

    pub fn thread_names(&self) -> Vec<String> {
        let all = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the gateway runs");
        // One that has ended since it was listed is no more.
        all.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok()).collect()
    }

    /// What each of its open file descriptors is, as Linux tells it.
    pub fn open_files(&self) -> Vec<String> {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the gateway runs");
        // One that was closed since it was listed is no more.
        let links = all.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// The first number of a line of `/proc/PID/status`.
    fn proc_status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the gateway runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("Linux tells it of every process");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Sends a signal by name: `TERM`, `INT`, `HUP`, `KILL`.
    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(told.is_ok_and(|status| status.success()), "the gateway is gone:\n{}", self.log());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_for(STOP).unwrap_or_else(|| panic!("still there after {STOP:?}:\n{}", self.log()))
    }

    /// Stops it as an operator does, and expects a clean exit.
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "SIGTERM should end it with 0, not {status}:\n{}", self.log());
        self.log()
    }

    /// Ends it without any warning.
    pub fn kill(mut self) {
        self.child.kill().expect("the gateway runs");
        self.child.wait().expect("a killed process can be waited for");
    }

    fn wait_for(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Standard output line by line; both streams go to the log.
    fn listen_to_output(&mut self) -> Receiver<String> {
        let (sender, lines) = mpsc::channel();
        let stdout = self.child.stdout.take().expect("standard output is piped");
        let stderr = self.child.stderr.take().expect("standard error is piped");
        copy(stdout, Arc::clone(&self.log), Some(sender));
        copy(stderr, Arc::clone(&self.log), None);
        lines
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        // An unclean end is only cleaned up here; tests that are about ending assert it themselves.
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        if self.wait_for(Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines.len().saturating_sub(TOLD);
            eprintln!("--- the gateway said, {end} lines before these\n{}\n---", lines[end..].join("\n"));
        }
    }
}

fn copy(from: impl Read + Send + 'static, log: Arc<Mutex<String>>, lines: Option<mpsc::Sender<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = log.lock().expect("no test panics while it holds this");
            log.push_str(&line);
            log.push('\n');
            if let Some(lines) = &lines {
                // Nobody listens any more once the gateway has started.
                let _ = lines.send(line);
            }
        }
    });
}
