//! `backstop eval schema`: the JSON Schema of suites.

use std::process::ExitCode;

use backstop_eval::suite::{SuiteFile, file_schema, suite_schema};
use clap::ValueEnum;

use super::super::print;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// `NAME.yaml`
    Header,
    /// A line of `NAME.jsonl`
    Item,
}

pub(super) fn print(part: Option<Part>) -> anyhow::Result<ExitCode> {
    match part {
        None => print::text(suite_schema())?,
        Some(Part::Header) => print::json(&file_schema(SuiteFile::Header)?)?,
        Some(Part::Item) => print::json(&file_schema(SuiteFile::Items)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
