//! The published JSON Schema of a suite's header and items: for editors, and for programs that write suites.
//!
//! It is a file of its own, not made from the types: most checks are read by hand, with rules that no derivation sees. The tests
//! hold it to the reader: the same names everywhere, and never stricter.

use serde_json::{Value, json};

/// `eval/schemas/suite.json`.
const SCHEMA: &str = include_str!("../../../schemas/suite.json");

/// Which of a suite's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuiteFile {
    /// `NAME.yaml`.
    Header,
    /// A line of `NAME.jsonl`.
    Items,
    /// A line of the labels' file.
    Labels,
}

/// The schema of all of them, as it is published.
pub fn suite_schema() -> &'static str {
    SCHEMA
}

/// The schema of one of them, complete in itself.
pub fn file_schema(file: SuiteFile) -> Result<Value, serde_json::Error> {
    let whole: Value = serde_json::from_str(SCHEMA)?;
    let root = match file {
        SuiteFile::Header => "#/$defs/header",
        SuiteFile::Items => "#/$defs/item",
        SuiteFile::Labels => "#/$defs/label",
    };
    Ok(json!({ "$schema": whole["$schema"], "title": whole["title"], "$ref": root, "$defs": whole["$defs"] }))
}

#[cfg(test)]
mod tests;
