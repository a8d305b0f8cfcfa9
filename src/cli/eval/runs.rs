//! `backstop eval runs`: the reports that were kept. Also what every verb that reads one needs: the suite it is of, and a
//! warning when it does not follow from its own answers.

use std::process::ExitCode;

use backstop_eval::{
    report::{ListedRun, RunSummary, Runs, StoredRun},
    suite::Suite,
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{
    installation::Installation,
    print::{self, Align},
};

/// How much of a digest a table shows; enough to name a run by.
pub(super) const SHOWN_DIGEST: usize = 12;

/// One run, as `eval runs --json` prints it.
#[derive(Serialize)]
struct Row {
    digest: String,
    file: String,
    #[serde(flatten)]
    about: Option<RunSummary>,
    /// Why the file cannot be read.
    fault: Option<String>,
}

pub(super) fn list_json(installation: &Installation) -> anyhow::Result<ExitCode> {
    let eval = installation.state.eval();
    let row = |ListedRun { digest, about }| {
        let file = eval.join("runs").join(format!("{digest}.json")).display().to_string();
        let (about, fault) = match about {
            Ok(about) => (Some(about), None),
            Err(fault) => (None, Some(fault)),
        };
        Row { digest, file, about, fault }
    };
    print::json(&Runs::in_dir(&eval).list()?.into_iter().map(row).collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(installation: &Installation) -> anyhow::Result<ExitCode> {
    let columns = [
        ("when", Align::Left),
        ("target", Align::Left),
        ("suite", Align::Left),
        ("split", Align::Left),
        ("attempt", Align::Right),
        ("verdict", Align::Left),
        ("run", Align::Left),
    ];
    let runs = Runs::in_dir(&installation.state.eval()).list()?;
    let cells = |run: &ListedRun| {
        let digest = shortened(&run.digest);
        match &run.about {
            Ok(about) => vec![
                moment(about.finished_at),
                about.target.clone(),
                format!("{} {}", about.suite.name, about.suite.version),
                about.split.name().to_owned(),
                about.attempt.to_string(),
                about.verdict.to_string(),
                digest,
            ],
            Err(fault) => {
                let mut cells = vec![String::new(); 5];
                cells.push(format!("CANNOT BE READ: {fault}"));
                cells.push(digest);
                cells
            }
        }
    };
    print::text(&print::table(&columns, &runs.iter().map(cells).collect::<Vec<_>>()))?;
    if runs.is_empty() {
        print::note("no run is kept yet; `backstop eval run --suite S --target T` makes one");
    }
    Ok(ExitCode::SUCCESS)
}

/// The suite that the run is of, if its very bytes are still here, and what is wrong with the run as it is kept.
pub(super) fn examined(installation: &Installation, run: &StoredRun) -> (Option<Suite>, Vec<String>) {
    let mut doubts = Vec::new();
    if run.is_changed {
        doubts.push(format!("{} was changed after the run: its digest is not its name", run.path.display()));
    }
    let found = Suite::find(&run.report.suite.name, &installation.state.suites());
    let suite = found
        .ok()
        .filter(|suite| *suite.id() == run.report.suite)
        .and_then(|suite| suite.with_split(run.report.split).ok());
    if let Some(Err(contradiction)) = suite.as_ref().map(|suite| run.report.recheck(suite)) {
        doubts.push(contradiction.to_string());
    }
    (suite, doubts)
}

pub(super) fn shortened(digest: &str) -> String {
    digest.chars().take(SHOWN_DIGEST).collect()
}

/// `2026-11-22T19:26:00Z`
pub(super) fn moment(time: OffsetDateTime) -> String {
    let to_seconds = time.replace_nanosecond(0).unwrap_or(time);
    to_seconds.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}
