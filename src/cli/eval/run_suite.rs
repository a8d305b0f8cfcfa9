//! `backstop eval run`: one run, its report stored, and a certificate when it passed and one was asked for.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use backstop_eval::{
    certificate::Scope,
    referee::Bench,
    report::{Against, ItemResult, Report, Verdict},
    run::{Bar, Reuse},
    suite::{Split, Suite},
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    super::{installation::Installation, operator::operator, print},
    located::{Located, located},
    referees::ChosenArgs,
    scope::ScopeArgs,
    subject_for,
};
use crate::{
    domain::Money,
    release::{
        Gate,
        evaluation::{Asked, Evaluation, Examined, Filing, Terms, is_url},
    },
};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The suite's name, as `eval list` shows it, or the path of its .yaml file or of its directory
    #[arg(long, value_name = "NAME|PATH")]
    suite: String,
    /// `vendor/model` (`local/…` is the in-process tier), or the base URL of an OpenAI-compatible server, with --model
    #[arg(long, value_name = "VENDOR/MODEL|URL")]
    target: String,
    /// The model's name at a --target that is a URL
    #[arg(long)]
    model: Option<String>,
    /// The vault's secret for a --target that is a URL
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Compare with the model that serves now, item by item; its last whole run of the same suite counts, or it is asked
    #[arg(long, value_name = "VENDOR/MODEL")]
    against: Option<String>,
    /// `gate` decides; `dev` is for writing prompts and is never certified
    #[arg(long, value_enum, default_value_t = SplitArg::Gate)]
    split: SplitArg,
    /// Questions asked side by side [default: 8, and for the local tier what `local.running` allows up to that]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: Option<u16>,
    /// The most questions a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rpm: Option<u32>,
    /// What the answers may cost; what is not asked for that reason makes the run inconclusive
    #[arg(long, value_name = "USD", value_parser = usd)]
    max_cost_usd: Option<u64>,
    #[command(flatten)]
    referees: ChosenArgs,
    /// Take answers over from the last finished run where nothing that they depend on has changed; never certified
    #[arg(long, conflicts_with = "certify")]
    cache: bool,
    /// Store a certificate when it passes
    #[arg(long)]
    certify: bool,
    #[command(flatten)]
    scope: ScopeArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
    /// Print the whole report as one JSON document
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitArg {
    Gate,
    Dev,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: what missed, the gates, the verdict
    Pretty,
    /// For programs: a line for each item, the gates and the verdict last
    Jsonl,
    /// For CI: JUnit's XML
    Junit,
}

/// What `eval run --json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    report_file: PathBuf,
    certificate_file: Option<PathBuf>,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) async fn run(installation: &Installation, args: RunArgs) -> anyhow::Result<ExitCode> {
    let split = match args.split {
        SplitArg::Gate => Split::Gate,
        SplitArg::Dev => Split::Dev,
    };
    if args.against.as_deref().is_some_and(is_url) {
        bail!("--against names a target of the config, as vendor/model: a URL has no --model of its own here");
    }
    if args.certify && split == Split::Dev {
        bail!("--certify needs the split `gate`: what was practised on decides nothing");
    }
    let Located { suite, is_here } = located(installation, &args.suite)?;
    if args.certify && !is_here {
        bail!(
            "a suite elsewhere cannot be certified by: put {0}.yaml and its other files into {1}, and name it as `{0}`",
            suite.name(),
            installation.state.suites().display()
        );
    }
    if args.scope.is_given() && !args.certify {
        bail!("--tier and --use-case say what a certificate is for; add --certify");
    }
    let suite = suite.with_split(split)?;
    // What is wrong with it is said before anything is asked.
    let scope = args.scope.of(&suite)?;
    if let Some(warning) = suite.warning_of_copies() {
        eprintln!("warning: {warning}");
    }
    // The default provider can be installed once; if it stands already, it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let evaluation = Evaluation {
        state: installation.state.clone(),
        settings: Arc::new(installation.settings()),
        gate: Arc::new(Gate::open(&installation.state)?),
        vault: None,
        serving: None,
    };
    let desk = Desk { installation, evaluation, suite, scope, args };
    let examined = desk.examined(&desk.args.target).await?;
    if desk.args.certify && examined.binding.is_none() {
        bail!("a URL cannot be certified: add it to the config under `vendors` and name it as vendor/model");
    }
    let against = match &desk.args.against {
        Some(incumbent) => Some(desk.incumbent(incumbent).await?),
        None => None,
    };
    let reuse = if desk.args.cache { Reuse::All } else { Reuse::Unfinished };
    let asked = desk.ask(&examined, reuse, against).await?;
    desk.tell(asked, &examined).await
}

/// What a run is about.
struct Desk<'a> {
    installation: &'a Installation,
    evaluation: Evaluation,
    suite: Suite,
    /// What a certificate would be for.
    scope: Scope,
    args: RunArgs,
}

impl Desk<'_> {
    async fn examined(&self, target: &str) -> anyhow::Result<Examined> {
        let Self { evaluation, suite, args, .. } = self;
        let by_url = subject_for::ByUrl { model: args.model.as_deref(), secret: args.secret.as_deref() };
        subject_for::examined(evaluation, suite.id(), target, by_url).await
    }

    async fn ask(&self, examined: &Examined, reuse: Reuse, against: Option<Against>) -> anyhow::Result<Asked> {
        let Self { evaluation, suite, args, .. } = self;
        if args.max_cost_usd.is_some() {
            evaluation.can_be_bounded(examined.subject.as_ref())?;
        }
        let bench = self.bench(examined).await?;
        if let (Some(judge), Some(_)) = (&bench.judge, args.max_cost_usd) {
            evaluation.can_be_bounded(judge.subject.as_ref())?;
        }
        let terms = Terms {
            concurrency: args.concurrency.map_or(examined.concurrency, usize::from),
            per_minute: args.rpm,
            max_cost_micros: args.max_cost_usd,
            reuse,
            against,
        };
        Ok(evaluation.ask(suite, examined, (bench, terms), &Bar::new()).await?)
    }

    async fn bench(&self, examined: &Examined) -> anyhow::Result<Bench> {
        let Self { evaluation, suite, args, .. } = self;
        // What the command line says of a family is said of the target, not of the incumbent.
        let name = examined.subject.name();
        let mut chosen = args.referees.meant();
        if args.against.as_ref() == Some(&name) {
            chosen.family = None;
        }
        let model = if is_url(&args.target) { args.model.as_deref().unwrap_or_default() } else { &name };
        Ok(evaluation.bench(suite, (&name, model), &chosen).await?)
    }

    /// What the incumbent passed of the same items.
    async fn incumbent(&self, target: &str) -> anyhow::Result<Against> {
        let examined =
            self.examined(target).await.with_context(|| format!("the incumbent {target} cannot be asked"))?;
        let Asked { report, ending } = self.ask(&examined, Reuse::All, None).await?;
        let report_sha256 = self.evaluation.gate.certificates().keep_report(&report)?;
        ending.finish()?;
        if report.errors > report.errors_allowed {
            bail!("the incumbent {target} cannot be compared with: {}", report.why.join("; "));
        }
        Ok(report.as_incumbent(report_sha256))
    }

    async fn tell(&self, asked: Asked, examined: &Examined) -> anyhow::Result<ExitCode> {
        let Asked { report, ending } = asked;
        let (report, certificates) = (&report, self.evaluation.gate.certificates());
        let report_sha256 = certificates.keep_report(report)?;
        let report_file = certificates.report_path(&report_sha256);
        let certificate_file = match &examined.binding {
            Some(binding) if self.args.certify && report.verdict == Verdict::Pass => {
                let audit = self.installation.audit().await?;
                let (what, who) = ((&self.suite, report), (&audit, operator()));
                let certified = self.evaluation.certify(what, (binding, &self.scope), who, Filing::InForce).await;
                let (_, path) = certified.context("the pass cannot be certified")?;
                self.installation.sign(&audit).await;
                Some(path)
            }
            _ => None,
        };
        ending.finish()?;
        match self.args.format {
            _ if self.args.json => print::json(&Printed { report_file, certificate_file, report })?,
            Format::Jsonl => print::text(&report.to_jsonl()?)?,
            Format::Junit => print::text(&report.to_junit())?,
            Format::Pretty => {
                let mut said = described(report);
                writeln!(said, "report: {}", report_file.display())?;
                if let Some(path) = certificate_file {
                    writeln!(said, "certificate: {}", path.display())?;
                }
                print::text(&said)?;
            }
        }
        Ok(ExitCode::from(report.verdict.exit_code()))
    }
}

/// Every miss with its answer, then the gates, then the verdict.
fn described(report: &Report) -> String {
    let mut said = String::new();
    for item in report.items.iter().filter(|item| !item.passed()) {
        said.push_str(&missed(item));
    }
    for gate in &report.gates {
        said.push_str(&gate.describe());
        said.push('\n');
    }
    if let Some(judge) = &report.referees.judge {
        said.push_str(&format!("judge {}: {}\n", judge.identity.target, judge.standing.describe()));
    }
    let seconds = (report.finished_at - report.started_at).as_seconds_f64();
    said.push_str(&format!(
        "{}: {} by {} {} in {seconds:.1} s",
        report.verdict, report.target, report.suite.name, report.suite.version
    ));
    if let Some(against) = &report.against {
        said.push_str(&format!(", beside {}", against.target));
    }
    if report.attempt > 1 {
        said.push_str(&format!(", attempt {}", report.attempt));
    }
    if let Some(cost) = report.cost_micros {
        said.push_str(&format!(", ${}", Money::from_micros(i64::try_from(cost).unwrap_or(i64::MAX))));
    }
    if report.resumed > 0 {
        said.push_str(&format!(", {} answers from before it was interrupted", report.resumed));
    }
    if report.reused > 0 {
        said.push_str(&format!(", {} answers from an earlier run", report.reused));
    }
    said.push('\n');
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

/// Millionths of a dollar.
fn usd(text: &str) -> Result<u64, String> {
    let money = text.parse::<f64>().ok().and_then(Money::from_usd).and_then(|money| u64::try_from(money.micros).ok());
    money.filter(|micros| *micros > 0).ok_or_else(|| format!("`{text}` is not an amount of dollars above 0"))
}
