//! Every run of a target over a suite, in order: a pass at the third try says that it is the third.
//!
//! `runs/attempts.jsonl` has a line when a run begins and one when it ends. Lines are only ever appended.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{CertificateStore, StoreError};
use crate::{
    file,
    report::Verdict,
    suite::{Split, Suite, SuiteId},
};

/// A run is about 600 bytes.
const MAX_ATTEMPTS_BYTES: u64 = 256 << 20;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Counted from 1 for each subject, suite to the byte, and split.
    pub number: u64,
    /// A digest over everything of the target that an answer depends on.
    pub subject: String,
    pub suite: SuiteId,
    pub split: Split,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `None` in the line of its begin.
    pub verdict: Option<Verdict>,
}

impl CertificateStore {
    /// Counts a run that begins. One that goes on with the answers of a run that was interrupted (`resumed`) is the same attempt.
    pub fn begin_attempt(&self, subject: &str, suite: &Suite, resumed: bool) -> Result<Attempt, StoreError> {
        let is_same = |attempt: &Attempt| {
            attempt.subject == subject && attempt.suite == *suite.id() && attempt.split == suite.split()
        };
        let last = self.attempts()?.into_iter().rfind(is_same);
        let attempt = Attempt {
            number: 1,
            subject: subject.to_owned(),
            suite: suite.id().clone(),
            split: suite.split(),
            at: OffsetDateTime::now_utc(),
            verdict: None,
        };
        let attempt = match last {
            // One that ended too: whoever ran it died before that was in its journal.
            Some(Attempt { number, .. }) if resumed => return Ok(Attempt { number, ..attempt }),
            Some(Attempt { number, .. }) => Attempt { number: number + 1, ..attempt },
            None => attempt,
        };
        self.append_attempt(&attempt)?;
        Ok(attempt)
    }

    /// Writes down how it ended.
    pub fn end_attempt(&self, attempt: Attempt, verdict: Verdict) -> Result<(), StoreError> {
        self.append_attempt(&Attempt { verdict: Some(verdict), at: OffsetDateTime::now_utc(), ..attempt })
    }

    /// Every line, in order. A last line that a crash has cut is left out.
    pub fn attempts(&self) -> Result<Vec<Attempt>, StoreError> {
        let path = self.attempts_path();
        match file::read_text(&path, MAX_ATTEMPTS_BYTES) {
            Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    fn attempts_path(&self) -> PathBuf {
        self.dir.join("runs").join("attempts.jsonl")
    }

    fn append_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let path = self.attempts_path();
        let failed = |source| StoreError::Io { path: path.clone(), source };
        let mut line = serde_json::to_vec(attempt)?;
        // A line of its own, also after one that was cut.
        line.insert(0, b'\n');
        line.push(b'\n');
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
        file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)
    }
}
