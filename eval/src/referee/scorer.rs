//! A scorer of the operator's own: a command that reads requests as JSON lines and answers each with a verdict.
//!
//! One process for a run, started when it is first needed and asked one line at a time. Every wait and every line has a bound; a
//! process that breaks the protocol, is late, or ends is stopped and its fault says what it wrote to standard error. It sees no
//! secret: its environment is `PATH`, `HOME`, `LANG` and `TZ`. Which commands there are is the config's to say, never a suite's.

use std::{
    collections::VecDeque,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use super::{ScorerRecord, ScorerVerdict};
use crate::{digest::sha256_hex_of_parts, score::External};

/// The longest line, in bytes, either way.
const MAX_LINE: u64 = 1 << 20;
/// How much of standard error is kept for messages, in bytes.
const MAX_SAID: usize = 2048;
/// How long what a process that ends still has to say is waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The largest file that is part of a command's digest.
const MAX_PROGRAM: u64 = 256 << 20;

/// `eval/schemas/scorer.json`.
const SCHEMA: &str = include_str!("../../schemas/scorer.json");

/// A command of the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerCommand {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// For one verdict.
    pub timeout: Duration,
}

/// A scorer that can be asked.
#[derive(Debug)]
pub struct Scorer {
    name: String,
    program: PathBuf,
    command: ScorerCommand,
    sha256: String,
    /// `None` while nobody has asked, and after a fault.
    process: tokio::sync::Mutex<Option<Process>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScorerFault {
    #[error("the scorer `{name}` cannot be started: {program} is not found; write its whole path")]
    NotFound { name: String, program: String },
    #[error("the scorer `{name}` cannot be started: {source}")]
    Start { name: String, source: io::Error },
    #[error("the scorer `{name}`: {what}{said}; mend the command and run again")]
    Broken {
        name: String,
        what: String,
        /// What it wrote to standard error.
        said: String,
    },
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    said: Said,
    listening: JoinHandle<()>,
    asked: u64,
}

/// The end of what a process wrote to standard error.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<VecDeque<u8>>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    pass: Option<bool>,
    score: Option<f64>,
    why: Option<String>,
}

/// The schema of requests and verdicts, as it is published.
pub fn scorer_schema() -> &'static str {
    SCHEMA
}

impl Scorer {
    /// Looks at the command's files; nothing is started.
    ///
    /// # Errors
    /// The program is not there, or a file cannot be read.
    pub fn new(name: &str, command: ScorerCommand) -> Result<Self, ScorerFault> {
        let named = command.command.first().cloned().unwrap_or_default();
        let program =
            found(&named).ok_or_else(|| ScorerFault::NotFound { name: name.to_owned(), program: named.clone() })?;
        let start = |source| ScorerFault::Start { name: name.to_owned(), source };
        let mut parts: Vec<Vec<u8>> = vec![command.timeout.as_millis().to_string().into_bytes()];
        parts.push(digest_of(&program).map_err(start)?.unwrap_or_default());
        for argument in &command.command {
            parts.push(argument.clone().into_bytes());
            parts.push(digest_of(Path::new(argument)).map_err(start)?.unwrap_or_default());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let sha256 = sha256_hex_of_parts(&parts);
        Ok(Self { name: name.to_owned(), program, command, sha256, process: tokio::sync::Mutex::default() })
    }

    pub fn record(&self) -> ScorerRecord {
        ScorerRecord {
            command: self.command.command.clone(),
            timeout_ms: u64::try_from(self.command.timeout.as_millis()).unwrap_or(u64::MAX),
            sha256: self.sha256.clone(),
            fault: None,
        }
    }

    /// Asks for one verdict; others wait their turn.
    ///
    /// # Errors
    /// It gave none, in time and in form.
    pub async fn ask(&self, request: &Value) -> Result<ScorerVerdict, ScorerFault> {
        let mut place = self.process.lock().await;
        // Out of its place while it is asked: who gives up in the middle leaves no process that is a line behind.
        let mut process = match place.take() {
            Some(process) => process,
            None => self.start()?,
        };
        let asked = timeout(self.command.timeout, process.ask(request)).await;
        let late = || Err(format!("no verdict within {:?}", self.command.timeout));
        match asked.unwrap_or_else(|_| late()) {
            Ok(verdict) => {
                *place = Some(process);
                Ok(verdict)
            }
            Err(what) => Err(self.broken(process, what).await),
        }
    }

    /// The run is over: it is told so, and must end well.
    ///
    /// # Errors
    /// It did not end in time, or with another exit code than 0.
    pub async fn finish(&self) -> Result<(), ScorerFault> {
        let Some(mut process) = self.process.lock().await.take() else { return Ok(()) };
        // Who has closed its input already is told nothing.
        let _ = process.stdin.shutdown().await;
        let Process { stdin, mut child, said, listening, .. } = process;
        drop(stdin);
        let what = match timeout(self.command.timeout, child.wait()).await {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(status)) => format!("it ended with {status}"),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not end within {:?} of the end of its input", self.command.timeout),
        };
        let _ = child.kill().await;
        let _ = timeout(LAST_WORDS, listening).await;
        Err(ScorerFault::Broken { name: self.name.clone(), what, said: said.shown() })
    }

    fn start(&self) -> Result<Process, ScorerFault> {
        let kept = ["PATH", "HOME", "LANG", "TZ"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(&self.program)
            .args(&self.command.command[1..])
            .env_clear()
            .envs(kept)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ScorerFault::Start { name: self.name.clone(), source })?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            let source = io::Error::other("its standard streams are not there");
            return Err(ScorerFault::Start { name: self.name.clone(), source });
        };
        let said = Said::default();
        let listening = tokio::spawn(said.clone().listen(stderr));
        Ok(Process { child, stdin, stdout: BufReader::new(stdout), said, listening, asked: 0 })
    }

    async fn broken(&self, mut process: Process, what: String) -> ScorerFault {
        // One that has ended says more by how.
        let ended = timeout(LAST_WORDS, process.child.wait()).await;
        let what = match ended {
            Ok(Ok(status)) => format!("{what} (it ended with {status})"),
            _ => what,
        };
        let _ = process.child.kill().await;
        let _ = timeout(LAST_WORDS, process.listening).await;
        ScorerFault::Broken { name: self.name.clone(), what, said: process.said.shown() }
    }
}

impl Process {
    async fn ask(&mut self, request: &Value) -> Result<ScorerVerdict, String> {
        self.asked += 1;
        let id = self.asked.to_string();
        let mut request = request.clone();
        request["id"] = id.clone().into();
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        if line.len() as u64 > MAX_LINE {
            return Err(format!("a request of {} bytes is longer than a line may be ({MAX_LINE})", line.len()));
        }
        let lost = |error: io::Error| format!("it does not take the request: {error}");
        self.stdin.write_all(&line).await.map_err(lost)?;
        self.stdin.flush().await.map_err(lost)?;
        let mut answer = Vec::new();
        let read = (&mut self.stdout).take(MAX_LINE).read_until(b'\n', &mut answer).await;
        read.map_err(|error| format!("its verdict cannot be read: {error}"))?;
        if !answer.ends_with(b"\n") {
            return Err(match answer.len() as u64 {
                MAX_LINE => format!("its line is longer than {MAX_LINE} bytes"),
                _ => "it ended before its verdict".to_owned(),
            });
        }
        let verdict: Line = serde_json::from_slice(&answer).map_err(|error| {
            let said: String = String::from_utf8_lossy(&answer).trim().chars().take(80).collect();
            format!("{said:?} is no verdict: {error}")
        })?;
        if verdict.id != id {
            return Err(format!("it answered the request `{}`, and was asked `{id}`", verdict.id));
        }
        if verdict.score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            return Err("its score is not from 0 to 1".into());
        }
        if verdict.pass.is_none() && verdict.score.is_none() {
            return Err("its verdict has neither `pass` nor `score`".into());
        }
        Ok(ScorerVerdict { pass: verdict.pass, score: verdict.score, why: verdict.why })
    }
}

impl External {
    /// By its score where one is wanted, else by its own `pass`.
    pub(crate) fn met_by(&self, verdict: &ScorerVerdict) -> Result<(), crate::score::Miss> {
        let why = verdict.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let name = &self.scorer;
        let said = match (self.at_least, verdict) {
            (Some(least), ScorerVerdict { score: Some(score), .. }) if *score >= least => return Ok(()),
            (Some(least), ScorerVerdict { score: Some(score), .. }) => {
                format!("the scorer `{name}` gives it {score}, at least {least} is wanted{why}")
            }
            (Some(_), ScorerVerdict { score: None, .. }) => format!("the scorer `{name}` gave no score{why}"),
            (None, ScorerVerdict { pass: Some(true), .. }) => return Ok(()),
            (None, ScorerVerdict { pass: Some(false), .. }) => format!("the scorer `{name}` says no{why}"),
            (None, ScorerVerdict { pass: None, .. }) => {
                format!("the scorer `{name}` does not say whether it passes; give the check an `at_least`{why}")
            }
        };
        Err(crate::score::Miss(said))
    }
}

impl Said {
    async fn listen(self, mut stderr: ChildStderr) {
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(&chunk[..read]);
            let over = kept.len().saturating_sub(MAX_SAID);
            kept.drain(..over);
        }
    }

    /// `; it said: …`, or nothing.
    fn shown(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if text.is_empty() { String::new() } else { format!("; it said: {text}") }
    }
}

/// The program's file: as named, or on the `PATH`.
fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Of a file's bytes; `None` where there is no such file.
fn digest_of(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(about) if about.is_file() && about.len() <= MAX_PROGRAM => {}
        Ok(about) if about.is_file() => {
            return Err(io::Error::other(format!("{} is larger than {MAX_PROGRAM} bytes", path.display())));
        }
        _ => return Ok(None),
    }
    let (mut file, mut hasher, mut chunk) = (std::fs::File::open(path)?, Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Some(hasher.finalize().to_vec())),
            read => hasher.update(&chunk[..read]),
        }
    }
}
