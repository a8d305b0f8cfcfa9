//! `backstop eval report`: a run as one HTML page, to a file or to standard output.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use backstop_eval::report::{Comparison, Page, Runs, StoredRun};
use clap::Args;

use super::{
    super::{installation::Installation, print},
    runs::examined,
};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// A digest of `eval runs` or its beginning, a report's file, or a target, whose newest run counts [default: the newest run]
    run: Option<String>,
    /// The target's newest run of this suite
    #[arg(requires = "run")]
    suite: Option<String>,
    /// Where the page goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare with this run of the same suite instead of the incumbent
    #[arg(long, value_name = "RUN")]
    against: Option<String>,
}

pub(super) fn run(installation: &Installation, args: &ReportArgs) -> anyhow::Result<ExitCode> {
    if args.out.is_none() && io::stdout().is_terminal() {
        bail!("a page would fill the terminal; name a file with --out FILE, or redirect standard output");
    }
    let runs = Runs::in_dir(&installation.state.eval());
    let run = match (&args.run, &args.suite) {
        (Some(target), Some(suite)) => runs.last(target, suite)?,
        (Some(run), None) => runs.find(run)?,
        (None, _) => runs.newest()?,
    };
    let (suite, mut warnings) = examined(installation, &run);
    let (new, of_suite) = ((&run.report, run.digest.as_str()), suite.as_ref());
    let (comparison, old) = match &args.against {
        Some(name) => {
            let old = runs.find_beside(name, &run.report)?;
            warnings.extend(examined(installation, &old).1);
            let comparison = Comparison::between((&old.report, old.digest.as_str()), new, of_suite)?;
            (Some(comparison), Some(old))
        }
        None => {
            let old = run.report.against.as_ref().and_then(|against| kept(&runs, &against.report_sha256));
            (Comparison::with_incumbent(new, old.as_ref().map(|old| &old.report), of_suite), old)
        }
    };
    let beside = comparison.as_ref().map(|comparison| (comparison, old.as_ref().map(|old| &old.report)));
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let page = Page { run: &run, suite: of_suite, beside, warnings: &warnings };
    let html = page.render().context("the page cannot be made")?;
    match &args.out {
        Some(path) => {
            fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
            print::text(&format!("{}\n", path.display()))?;
        }
        None => print::text(&html)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The incumbent's own report, if it is still here and is what was compared with.
fn kept(runs: &Runs, digest: &str) -> Option<StoredRun> {
    runs.find(digest).ok().filter(|run| run.digest == digest)
}
