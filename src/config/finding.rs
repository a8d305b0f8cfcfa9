//! What is said about a config file: one fault, one broken invariant or one remark, with its place.
//!
//! A finding never shows a secret: every message passes [`super::secret_scan::redact`] on its way in.

use std::fmt;

use super::{path::Path, secret_scan, tree::Place};

/// One remark about the config.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The file's name, as it was given.
    pub file: String,
    /// From 1.
    pub line: Option<u32>,
    /// From 1.
    pub column: Option<u32>,
    /// `routes.support-chat.targets[1]`; empty for the file as a whole.
    pub path: String,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// How much a finding matters, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but breaks an invariant that strict mode keeps: `check` fails on it.
    Breach,
    /// Accepted, and worth knowing.
    Note,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Breach => "breach",
            Self::Note => "note",
        }
    }
}

impl Finding {
    /// A finding about the file as a whole, or about what is not in the file at all.
    pub fn of_file(severity: Severity, file: impl Into<String>, message: impl AsRef<str>) -> Self {
        let message = secret_scan::redact(message.as_ref());
        Self { severity, file: file.into(), line: None, column: None, path: String::new(), message, help: None }
    }

    pub fn with_help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(secret_scan::redact(help.as_ref()));
        self
    }
}

/// `backstop.yaml:12:5: routes.x.targets[1]: unknown vendor …; did you mean …?`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// Where findings are gathered while one file is read.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    file: &'a str,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    /// A file with more faults than this is not read by anyone to the end.
    const MOST: usize = 500;

    pub(super) fn new(file: &'a str) -> Self {
        Self { file, list: Vec::new() }
    }

    /// `help` may be empty.
    pub(super) fn add(&mut self, severity: Severity, place: Option<Place>, path: &Path, words: (&str, &str)) {
        if self.list.len() >= Self::MOST {
            return;
        }
        let (message, help) = words;
        let mut finding = Finding::of_file(severity, self.file, message);
        finding.line = place.map(|place| place.line);
        finding.column = place.map(|place| place.column);
        finding.path = secret_scan::redact(&path.to_string());
        self.list.push(if help.is_empty() { finding } else { finding.with_help(help) });
    }

    pub(super) fn has_error(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// In the order of the file, each once.
    pub(super) fn into_sorted(mut self) -> Vec<Finding> {
        self.list.sort_by(|a, b| {
            let place = |finding: &Finding| (finding.line.unwrap_or(u32::MAX), finding.column);
            (place(a), a.severity, &a.path, &a.message).cmp(&(place(b), b.severity, &b.path, &b.message))
        });
        self.list.dedup();
        self.list
    }
}
