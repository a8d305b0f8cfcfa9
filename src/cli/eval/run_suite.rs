//! `backstop eval run`: one run, its report stored, and a certificate when it passed and one was asked for.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use backstop_eval::{
    report::{ItemResult, Report, Verdict},
    run::{self, Bar},
    suite::Suite,
};
use serde::Serialize;
use time::OffsetDateTime;

use super::{
    super::{installation::Installation, operator::operator, print},
    subject_for::subject_for,
};
use crate::{
    domain::TargetId,
    release::{self, Gate},
};

/// What a pass leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Certify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    People,
    Json,
}

/// What `eval run --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    report_file: PathBuf,
    certificate_file: Option<PathBuf>,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) async fn run(
    installation: &Installation,
    suite: &str,
    target: &TargetId,
    after: After,
    format: Format,
) -> anyhow::Result<ExitCode> {
    let state = &installation.state;
    let suite = Suite::find(suite, &state.suites())?;
    let settings = installation.settings();
    let gate = Arc::new(Gate::open(state)?);
    let subject = subject_for(installation, &gate, &settings, target).await?;
    // Bound before the run: what changes meanwhile is not what was asked.
    let binding = gate.binding(&settings, target, &suite).map_err(anyhow::Error::msg)?;
    let report = run::run(&suite, subject.as_ref(), &Bar::new()).await;
    let certificates = gate.certificates();
    let report_sha256 = certificates.keep_report(&report)?;
    let report_file = certificates.report_path(&report_sha256);
    let certificate_file = if after == After::Certify && report.verdict == Verdict::Pass {
        let path = certificates.certificate_path(&binding.target, &binding.suite.name);
        let audit = installation.audit().await?;
        let act = release::certifying(operator(), &binding, &report_sha256);
        let issue = async { anyhow::Ok(certificates.issue(&suite, &report, &binding, OffsetDateTime::now_utc())?) };
        audit.around(act, issue).await.context("the pass cannot be certified")?;
        installation.sign(&audit).await;
        Some(path)
    } else {
        None
    };
    match format {
        Format::Json => print::json(&Printed { report_file, certificate_file, report: &report })?,
        Format::People => {
            let mut said = described(&report);
            writeln!(said, "report: {}", report_file.display())?;
            if let Some(path) = certificate_file {
                writeln!(said, "certificate: {}", path.display())?;
            }
            print::text(&said)?;
        }
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// Every miss with its answer, then the gates, then the verdict.
fn described(report: &Report) -> String {
    let mut said = String::new();
    for item in report.items.iter().filter(|item| item.scores.values().any(|score| !score.passed)) {
        said.push_str(&missed(item));
    }
    for gate in &report.gates {
        said.push_str(&gate.describe());
        said.push('\n');
    }
    let seconds = (report.finished_at - report.started_at).as_seconds_f64();
    said.push_str(&format!(
        "{}: {} by {} {} in {seconds:.1} s\n",
        report.verdict, report.target, report.suite.name, report.suite.version
    ));
    // The gates have said why they failed.
    if report.verdict == Verdict::Inconclusive {
        report.why.iter().for_each(|why| said.push_str(&format!("because {why}\n")));
    }
    said
}

fn missed(item: &ItemResult) -> String {
    let mut said = String::new();
    for (gate, score) in item.scores.iter().filter(|(_, score)| !score.passed) {
        said.push_str(&format!("missed {gate}: {}: {}\n", item.id, score.why.join("; ")));
    }
    said
}
