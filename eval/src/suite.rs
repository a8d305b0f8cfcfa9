//! A suite: stored questions, the checks their answers must meet, and the gates that decide.
//!
//! A suite is two files of one name: `NAME.yaml`, the header, and `NAME.jsonl`, one item a line; and where a judge has a say, a
//! third with answers that people have labelled. It is found in the user's own directory first, then among the built-in ones, and
//! read strictly: what is not understood is an error with its file, its line and the nearest name. [`Suite::digest`] is over the
//! exact bytes of all its files, so a comment counts too. A suite that was read can be run: every gate can be reached by its items.
//!
//! Items are of two splits. Those of `gate` decide; those of `dev` are for writing prompts, and no cluster has items in
//! both. A suite is read with the `gate` split in force; [`Suite::with_split`] changes it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use backstop_models::chat::{Chat, Message, ResponseFormat, Sampling, Tool, ToolChoice};
use serde::{Deserialize, Serialize};

use crate::{digest::sha256_hex_of_parts, file, score::Check};

mod copies;
mod judging;
mod read;
mod tier;

pub use judging::{JudgeRules, Label, LabelVerdict, Needs};
pub use read::{SuiteFile, file_schema, suite_schema};
pub use tier::Tier;

macro_rules! embedded {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../suites/", $name, ".yaml")),
            include_str!(concat!("../suites/", $name, ".jsonl")),
        )
    };
}

/// The suites that every build has, with the bytes of their two files.
const EMBEDDED: [(&str, &str, &str); 6] = [
    embedded!("stage2-continuity"),
    embedded!("stage2-extraction"),
    embedded!("stage2-classification"),
    embedded!("stage2-safety"),
    embedded!("stage2-tools"),
    embedded!("stage2-portability"),
];

/// The largest file of a suite, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A suite that was read and checked.
#[derive(Debug, Clone)]
pub struct Suite {
    id: SuiteId,
    /// What passing it shows.
    pub purpose: String,
    /// What a pass allows: the scope of its certificates.
    pub use_cases: Vec<String>,
    /// How much may hang on the calls that a pass allows: likewise.
    pub tiers: Vec<Tier>,
    pub sampling: Sampling,
    /// How long one question may take.
    pub deadline: Duration,
    /// More errors than this and the run is inconclusive.
    pub errors_allowed: usize,
    /// A text that stands in no question: a model that can recite it has seen the suite.
    pub canary: Option<String>,
    /// All of them must pass. In the order of the file.
    pub gates: Vec<Gate>,
    /// How a judge is asked, and how far it must be reliable.
    pub judge: Option<JudgeRules>,
    /// By name, the digest that a scorer must have.
    pub scorers: BTreeMap<String, String>,
    /// The split that `items` are of.
    split: Split,
    /// In the order of the file.
    pub items: Vec<Item>,
    /// The items of the other split.
    aside: Vec<Item>,
}

/// What an item is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// It decides.
    #[default]
    Gate,
    /// It is for writing prompts, and decides nothing.
    Dev,
}

/// What a miss costs whom it meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Minor,
    #[default]
    Major,
    Critical,
}

/// Which suite, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteId {
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// Hex SHA-256 over the header's, the items' and, where there are any, the labels' bytes, each preceded by its length as 64
    /// bits, little-endian.
    pub digest: String,
}

/// A property of the subject that is decided by counting.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub id: String,
    pub about: String,
    /// τ: the lower bound of the share of draws that pass must reach it.
    pub threshold: f64,
    /// δ: beside an incumbent, the lower bound of the difference must lie above −δ.
    pub margin: Option<f64>,
    /// With fewer items than this nothing is concluded.
    pub min_items: usize,
    /// One item that misses fails the gate.
    pub zero_tolerance: bool,
    /// By slice: the plain share of its items that must pass.
    pub floors: BTreeMap<String, f64>,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    pub response_format: ResponseFormat,
    pub max_tokens: u32,
    pub stop: Vec<String>,
    /// How often it is asked; it passes when every answer does. 0: only how likely texts are is looked at.
    pub asks: usize,
    /// What kinds of question it is: for reading the report, and for floors.
    pub slices: Vec<String>,
    /// Items made from one template share one, and count as one draw, which passes when all of them do.
    pub cluster: Option<String>,
    pub split: Split,
    pub severity: Severity,
    pub provenance: Option<String>,
    pub license: Option<String>,
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
    #[error("the suite `{0}` has no items of the split `dev`; only `gate` can be run")]
    NoDev(String),
}

impl Suite {
    /// The suite `name`: `user_dir/NAME.yaml` with `user_dir/NAME.jsonl`, or the built-in one.
    pub fn find(name: &str, user_dir: &Path) -> Result<Self, SuiteError> {
        Texts::find(name, user_dir)?.read(name)
    }

    /// Which bytes [`Suite::find`] would read now. The items are not read: what a certificate was issued for could be.
    pub fn identify(name: &str, user_dir: &Path) -> Result<SuiteId, SuiteError> {
        let texts = Texts::find(name, user_dir)?;
        let version = read::version(name, (&texts.header.0, &texts.header.1))?;
        Ok(SuiteId { name: name.to_owned(), version, digest: texts.digest() })
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
        Texts::of(header, items, None).read(name)
    }

    /// As [`Suite::read`], with the file of labels that the header names.
    pub fn read_with_labels(
        name: &str,
        header: (&str, &str),
        items: (&str, &str),
        labels: (&str, &str),
    ) -> Result<Self, SuiteError> {
        Texts::of(header, items, Some(labels)).read(name)
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

    /// Whom it needs besides the subject.
    pub fn needs(&self) -> Needs {
        Needs::of(self.items.iter().chain(&self.aside).flat_map(|item| &item.checks).flat_map(|(_, checks)| checks))
    }

    /// The split that the items are of.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The same suite with the items of `split` in force.
    pub fn with_split(mut self, split: Split) -> Result<Self, SuiteError> {
        if split != self.split {
            (self.items, self.aside) = (self.aside, self.items);
            self.split = split;
        }
        if self.items.is_empty() {
            return Err(SuiteError::NoDev(self.id.name));
        }
        Ok(self)
    }

    /// How many items the split that is not in force has.
    pub fn items_aside(&self) -> usize {
        self.aside.len()
    }

    /// How many items count for the gate.
    pub fn items_of(&self, gate: &str) -> usize {
        self.judged_by(gate).count()
    }

    /// How many draws count for the gate: its clusters, and its items that are in none.
    pub fn draws_of(&self, gate: &str) -> usize {
        self.judged_by(gate).map(Item::draw).collect::<BTreeSet<_>>().len()
    }

    fn judged_by(&self, gate: &str) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.checks.iter().any(|(id, _)| id == gate))
    }
}

impl Item {
    /// The item as a subject is asked it.
    pub fn chat(&self, sampling: &Sampling) -> Chat {
        Chat {
            messages: self.messages.clone(),
            tools: self.tools.clone(),
            tool_choice: self.tool_choice.clone(),
            response_format: self.response_format.clone(),
            sampling: sampling.clone(),
            stop: self.stop.clone(),
            max_tokens: Some(self.max_tokens),
            ..Chat::default()
        }
    }

    /// What counts as one draw: the cluster, or the item alone.
    pub fn draw(&self) -> Draw<'_> {
        match &self.cluster {
            Some(cluster) => Draw::Cluster(cluster),
            None => Draw::Item(&self.id),
        }
    }
}

impl Split {
    /// As suites and the command line name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Dev => "dev",
        }
    }
}

impl Severity {
    /// As suites name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

/// See [`Item::draw`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Draw<'a> {
    Cluster(&'a str),
    Item(&'a str),
}

/// A suite's files, each as what to call it in errors and its text.
struct Texts<'a> {
    header: (String, Cow<'a, str>),
    items: (String, Cow<'a, str>),
    /// Where the header names them.
    labels: Option<(String, Cow<'a, str>)>,
}

impl<'a> Texts<'a> {
    fn of(header: (&str, &'a str), items: (&str, &'a str), labels: Option<(&str, &'a str)>) -> Self {
        let text = |(file, text): (&str, &'a str)| (file.to_owned(), Cow::Borrowed(text));
        Self { header: text(header), items: text(items), labels: labels.map(text) }
    }

    fn digest(&self) -> String {
        let texts = [Some(&self.header), Some(&self.items), self.labels.as_ref()];
        let parts: Vec<&[u8]> = texts.into_iter().flatten().map(|(_, text)| text.as_bytes()).collect();
        sha256_hex_of_parts(&parts)
    }

    fn read(&self, name: &str) -> Result<Suite, SuiteError> {
        let labels = self.labels.as_ref().map(|(file, text)| (file.as_str(), text.as_ref()));
        read::suite(name, (&self.header.0, &self.header.1), (&self.items.0, &self.items.1), labels, self.digest())
    }

    fn find(name: &str, user_dir: &Path) -> Result<Self, SuiteError> {
        let header_path = user_dir.join(format!("{name}.yaml"));
        if read::is_name(name) && file::is_there(&header_path) {
            let items_path = user_dir.join(format!("{name}.jsonl"));
            let (header, items) = (load(&header_path)?, load(&items_path)?);
            let (header_file, items_file) = (header_path.display().to_string(), items_path.display().to_string());
            let labels = match read::labels_file(name, (&header_file, &header))? {
                Some(file) => {
                    let path = user_dir.join(file);
                    Some((path.display().to_string(), load(&path)?.into()))
                }
                None => None,
            };
            return Ok(Self { header: (header_file, header.into()), items: (items_file, items.into()), labels });
        }
        if let Some((_, header, items)) = EMBEDDED.iter().find(|(embedded, ..)| *embedded == name) {
            let (header_file, items_file) = (format!("built-in {name}.yaml"), format!("built-in {name}.jsonl"));
            return Ok(Self {
                header: (header_file, Cow::Borrowed(header)),
                items: (items_file, Cow::Borrowed(items)),
                labels: None,
            });
        }
        let names = Suite::names(user_dir)?;
        let hint = read::nearest(name, names.iter().map(String::as_str));
        Err(SuiteError::Unknown { name: name.to_owned(), hint })
    }
}

fn load(path: &Path) -> Result<String, SuiteError> {
    file::read_text(path, MAX_FILE_BYTES).map_err(|source| SuiteError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
