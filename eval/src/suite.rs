//! A suite: stored questions, the checks their answers must meet, and the gates that decide.
//!
//! A suite is two files of one name: `NAME.yaml`, the header, and `NAME.jsonl`, one item a line. It is found in the user's
//! own directory first, then among the built-in ones, and read strictly: what is not understood is an error with its file,
//! its line and the nearest name. [`Suite::digest`] is over the exact bytes of both files, so a comment counts too. A suite that
//! was read can be run: every gate can be reached by its items.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use backstop_models::chat::{Chat, Message, Sampling};
use serde::{Deserialize, Serialize};

use crate::{digest::sha256_hex_of_parts, score::Check};

mod read;

/// The suites that every build has, with the bytes of their two files.
const EMBEDDED: [(&str, &str, &str); 1] = [(
    "stage2-continuity",
    include_str!("../suites/stage2-continuity.yaml"),
    include_str!("../suites/stage2-continuity.jsonl"),
)];

/// The largest file of a suite, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A suite that was read and checked.
#[derive(Debug, Clone)]
pub struct Suite {
    id: SuiteId,
    /// What passing it shows.
    pub purpose: String,
    pub sampling: Sampling,
    /// How long one question may take.
    pub deadline: Duration,
    /// More errors than this and the run is inconclusive.
    pub errors_allowed: usize,
    /// All of them must pass. In the order of the file.
    pub gates: Vec<Gate>,
    /// In the order of the file.
    pub items: Vec<Item>,
}

/// Which suite, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteId {
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// Hex SHA-256 over the header's and the items' bytes, each preceded by its length as 64 bits, little-endian.
    pub digest: String,
}

/// A property of the subject that is decided by counting items.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub id: String,
    pub about: String,
    /// τ: the lower bound of the share of items that pass must reach it.
    pub threshold: f64,
    /// With fewer items than this nothing is concluded.
    pub min_items: usize,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub messages: Vec<Message>,
    pub max_tokens: u32,
    pub stop: Vec<String>,
    /// How often it is asked.
    pub asks: usize,
    /// What kinds of question it is, for reading the report.
    pub slices: Vec<String>,
    /// By gate; an item counts once for each gate here, and passes it when all checks are met.
    pub checks: Vec<(String, Vec<Check>)>,
}

#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error("there is no suite `{name}`{hint}; `backstop eval list` shows all")]
    Unknown { name: String, hint: String },
    #[error("cannot read {}: {source}; mend the file or remove it", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{file}:{line}: {what}")]
    Invalid { file: String, line: u64, what: String },
}

impl Suite {
    /// The suite `name`: `user_dir/NAME.yaml` with `user_dir/NAME.jsonl`, or the built-in one.
    pub fn find(name: &str, user_dir: &Path) -> Result<Self, SuiteError> {
        let header_path = user_dir.join(format!("{name}.yaml"));
        if read::is_name(name) && header_path.exists() {
            let items_path = user_dir.join(format!("{name}.jsonl"));
            let (header, items) = (load(&header_path)?, load(&items_path)?);
            return Self::read(
                name,
                (&header_path.display().to_string(), &header),
                (&items_path.display().to_string(), &items),
            );
        }
        if let Some((_, header, items)) = EMBEDDED.iter().find(|(embedded, ..)| *embedded == name) {
            let (header_file, items_file) = (format!("built-in {name}.yaml"), format!("built-in {name}.jsonl"));
            return Self::read(name, (&header_file, header), (&items_file, items));
        }
        let names = Self::names(user_dir)?;
        let hint = read::nearest(name, names.iter().map(String::as_str));
        Err(SuiteError::Unknown { name: name.to_owned(), hint })
    }

    /// Every suite that [`Suite::find`] finds, sorted. A directory that does not exist holds none.
    pub fn names(user_dir: &Path) -> Result<Vec<String>, SuiteError> {
        let failed = |source| SuiteError::Read { path: user_dir.to_owned(), source };
        let mut names: Vec<String> = EMBEDDED.iter().map(|(name, ..)| (*name).to_owned()).collect();
        match fs::read_dir(user_dir) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry.map_err(failed)?.path();
                    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| read::is_name(stem));
                    if let (Some(stem), Some("yaml")) = (stem, path.extension().and_then(|end| end.to_str())) {
                        names.push(stem.to_owned());
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Reads the two files, each given as what to call it in errors and its text.
    pub fn read(name: &str, header: (&str, &str), items: (&str, &str)) -> Result<Self, SuiteError> {
        read::suite(name, header, items, sha256_hex_of_parts(&[header.1.as_bytes(), items.1.as_bytes()]))
    }

    pub fn id(&self) -> &SuiteId {
        &self.id
    }

    pub fn name(&self) -> &str {
        &self.id.name
    }

    pub fn digest(&self) -> &str {
        &self.id.digest
    }

    /// How many questions a whole run asks.
    pub fn asks(&self) -> usize {
        self.items.iter().map(|item| item.asks).sum()
    }

    /// How many items count for the gate.
    pub fn items_of(&self, gate: &str) -> usize {
        self.items.iter().filter(|item| item.checks.iter().any(|(id, _)| id == gate)).count()
    }
}

impl Item {
    /// The item as a subject is asked it.
    pub fn chat(&self, sampling: &Sampling) -> Chat {
        Chat {
            messages: self.messages.clone(),
            sampling: sampling.clone(),
            stop: self.stop.clone(),
            max_tokens: Some(self.max_tokens),
            ..Chat::default()
        }
    }
}

fn load(path: &Path) -> Result<String, SuiteError> {
    let failed = |source| SuiteError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE_BYTES {
        return Err(failed(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes"))));
    }
    fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
mod tests;
