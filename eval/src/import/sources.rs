//! The files of an import: where the config is, and what it names beside itself. Bounded reads, nothing of the network.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ImportError;
use crate::file;

const MAX_BYTES: u64 = 64 << 20;

/// A config file and the directory that its relative paths start from.
#[derive(Debug, Clone)]
pub struct Sources {
    path: PathBuf,
    pub(super) text: String,
}

impl Sources {
    /// # Errors
    /// The file cannot be read, or is too large.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        Ok(Self { path: path.to_owned(), text: read(path)? })
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// A file beside this one.
    pub(super) fn beside(&self, file: &str) -> Result<Self, ImportError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        Self::open(&directory.join(file))
    }

    /// The whole as YAML, which JSON is too.
    pub(super) fn yaml(&self) -> Result<Value, ImportError> {
        serde_saphyr::from_str(&self.text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            ImportError::invalid(format!("{}:{line}", self.name()), error.without_snippet().to_string())
        })
    }

    /// One value a line, or one list of them.
    pub(super) fn records(&self) -> Result<Vec<Value>, ImportError> {
        if self.text.trim_start().starts_with('[')
            && let Ok(Value::Array(all)) = serde_json::from_str(&self.text)
        {
            return Ok(all);
        }
        let lines = self.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                serde_json::from_str(line)
                    .map_err(|error| ImportError::invalid(format!("{}:{}", self.name(), index + 1), error.to_string()))
            })
            .collect()
    }
}

fn read(path: &Path) -> Result<String, ImportError> {
    file::read_text(path, MAX_BYTES).map_err(|source| ImportError::Read { path: path.to_owned(), source })
}
