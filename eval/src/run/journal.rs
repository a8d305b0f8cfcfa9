//! The answers of a run under way, on disk: a line each, so that a run that was killed asks nothing twice.
//!
//! One file for each subject, suite and split: a first line that says whose answers they are, a line for each answer, named by
//! a digest over all that the answer depends on, and a last line when the run came to its end: its report is kept, which is the
//! caller's to say ([`Ending`]). The answers of a run that ended are not taken over by the next, which is a new attempt, unless the
//! caller says so. A line that was cut by a crash is dropped.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use backstop_models::chat::Chat;
use serde::{Deserialize, Serialize};

use crate::{digest::sha256_hex, file, referee::Measured, report::AnswerRecord, suite::Suite};

/// Far more than the answers of any run.
const MAX_BYTES: u64 = 4 << 30;

/// Which earlier answers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Those of a run that did not come to its end.
    Unfinished,
    /// Those of a finished run, too.
    All,
}

#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<Held>,
    subject: String,
    answers: HashMap<String, AnswerRecord>,
    /// What referees said, by the key that it is kept under.
    measured: HashMap<String, Measured>,
    /// Whether `answers` are of a run that came to its end.
    finished: bool,
}

/// A journal's last line, for whoever keeps the report. Holds the journal until dropped; without [`Ending::finish`] the run counts as
/// interrupted, and all that was answered is taken over by the next.
#[derive(Debug)]
pub struct Ending {
    path: PathBuf,
    file: Arc<Held>,
}

/// A file that nobody else holds until this is dropped. A lock is the open file's and not the descriptor's: a process that was started
/// in between has a copy of the descriptor until it runs its own program, so that closing ours would not end it.
#[derive(Debug)]
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // What fails here is ended by the close that follows.
        let _ = self.0.unlock();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot read or write {}: {source}; make room or mend its permissions", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("another run of this target over this suite is under way (it holds {}); wait for it", path.display())]
    Busy { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// See [`Journal::open`]'s `subject`.
    Subject(String),
    Answer {
        key: String,
        answer: AnswerRecord,
    },
    /// What a referee said.
    Measured(Measured),
    Finished(bool),
}

impl Journal {
    /// The journal in `dir` for `subject`, a text over everything of the target that an answer depends on, and the split of
    /// `suite` that is in force. Holds it until dropped.
    pub fn open(dir: &Path, subject: &str, suite: &Suite, reuse: Reuse) -> Result<Self, JournalError> {
        let name = sha256_hex(format!("{subject}\n{}\n{:?}", suite.name(), suite.split()).as_bytes());
        let path = dir.join(format!("{}-{}.jsonl", suite.name(), &name[..16]));
        let failed = |source| JournalError::Io { path: path.clone(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let opened =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        match opened.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let text = file::read(&path, MAX_BYTES).map_err(failed)?;
        let mut journal = Self {
            path,
            file: Arc::new(Held(opened)),
            subject: subject.to_owned(),
            answers: HashMap::new(),
            measured: HashMap::new(),
            finished: false,
        };
        let whole = journal.read(&text);
        let taken = whole > 0 && (!journal.finished || reuse == Reuse::All);
        if !taken {
            journal.answers.clear();
            journal.measured.clear();
            journal.finished = false;
        }
        journal.begin(if taken { whole } else { 0 })?;
        Ok(journal)
    }

    /// The answer to the `ask`th asking of `chat`, if there is one.
    pub fn get(&self, chat: &Chat, ask: usize) -> Option<AnswerRecord> {
        self.answers.get(&key(&self.subject, chat, ask)).cloned()
    }

    /// Keeps an answer; it is in the operating system's hands when this returns.
    pub fn keep(&mut self, chat: &Chat, ask: usize, answer: &AnswerRecord) -> Result<(), JournalError> {
        let key = key(&self.subject, chat, ask);
        self.write(&Line::Answer { key, answer: answer.clone() })
    }

    /// The measurement of that key, if there is one.
    pub fn measured(&self, key: &str) -> Option<Measured> {
        self.measured.get(key).cloned()
    }

    /// Keeps a measurement, as an answer is kept.
    pub fn keep_measured(&mut self, measured: &Measured) -> Result<(), JournalError> {
        self.write(&Line::Measured(measured.clone()))
    }

    /// What ends it.
    pub fn ending(&self) -> Ending {
        Ending { path: self.path.clone(), file: Arc::clone(&self.file) }
    }

    /// Whether it has answers of a run that was interrupted.
    pub fn is_resumed(&self) -> bool {
        self.known().1 > 0
    }

    /// How many answers and measurements are here from a finished run, and from one that was not.
    pub(super) fn known(&self) -> (usize, usize) {
        let known = self.answers.len() + self.measured.len();
        if self.finished { (known, 0) } else { (0, known) }
    }

    /// Takes the lines over; gives how many bytes are whole lines of this subject's.
    fn read(&mut self, text: &[u8]) -> usize {
        let mut whole = 0;
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Ok(read) = serde_json::from_slice(line) else { break };
            if !line.ends_with(b"\n") {
                break;
            }
            match read {
                Line::Subject(subject) if index == 0 && subject == self.subject => {}
                Line::Answer { key, answer } if index > 0 => {
                    self.answers.insert(key, answer);
                }
                Line::Measured(measured) if index > 0 => {
                    self.measured.insert(measured.key.clone(), measured);
                }
                Line::Finished(finished) if index > 0 => self.finished = finished,
                _ => break,
            }
            whole += line.len();
        }
        whole
    }

    fn begin(&mut self, whole: usize) -> Result<(), JournalError> {
        let failed = |source| JournalError::Io { path: self.path.clone(), source };
        self.file.0.set_len(whole as u64).map_err(failed)?;
        (&self.file.0).seek(SeekFrom::End(0)).map_err(failed)?;
        if whole == 0 {
            self.write(&Line::Subject(self.subject.clone()))?;
        } else if self.finished {
            self.write(&Line::Finished(false))?;
        }
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<(), JournalError> {
        write(&self.file.0, line).map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }
}

impl Ending {
    /// The run came to its end, and what it found is kept.
    pub fn finish(self) -> Result<(), JournalError> {
        let written = write(&self.file.0, &Line::Finished(true)).and_then(|()| self.file.0.sync_all());
        written.map_err(|source| JournalError::Io { path: self.path, source })
    }
}

fn write(mut file: &File, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

/// A digest over all that an answer depends on: the subject, the whole question with its sampling, and which asking it is.
fn key(subject: &str, chat: &Chat, ask: usize) -> String {
    sha256_hex(format!("{subject}\n{ask}\n{chat:?}").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::run::tests::echoes;

    #[test]
    fn a_process_that_has_a_copy_of_the_descriptor_does_not_hold_what_was_dropped() {
        let (dir, suite) = (tempfile::tempdir().expect("a directory"), echoes(20));
        let open = || Journal::open(dir.path(), "subject", &suite, Reuse::Unfinished);
        let journal = open().expect("it opens");
        let copy = journal.file.0.try_clone().expect("a copy");
        let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(copy).spawn().expect("a process");
        open().expect_err("it is held");
        drop(journal);
        let again = open();
        drop(other.stdin.take());
        other.wait().expect("it ends");
        again.expect("it opens while the other process still runs");
    }
}
