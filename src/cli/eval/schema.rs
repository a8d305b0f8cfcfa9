//! `backstop eval schema`: the JSON Schema of suites and of scorers.

use std::process::ExitCode;

use backstop_eval::{
    referee::scorer_schema,
    suite::{SuiteFile, file_schema, suite_schema},
};
use clap::ValueEnum;

use super::super::print;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// `NAME.yaml`
    Header,
    /// A line of `NAME.jsonl`
    Item,
    /// A line of the labels that a judge is compared with
    Label,
    /// What a scorer reads and writes
    Scorer,
}

pub(super) fn print(part: Option<Part>) -> anyhow::Result<ExitCode> {
    match part {
        None => print::text(suite_schema())?,
        Some(Part::Header) => print::json(&file_schema(SuiteFile::Header)?)?,
        Some(Part::Label) => print::json(&file_schema(SuiteFile::Labels)?)?,
        Some(Part::Scorer) => print::text(scorer_schema())?,
        Some(Part::Item) => print::json(&file_schema(SuiteFile::Items)?)?,
    }
    Ok(ExitCode::SUCCESS)
}
