//! `backstop eval run`: one run, its report stored, and a certificate when it passed and one was asked for.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use backstop_eval::{
    certificate::Scope,
    referee::Bench,
    report::{Against, ItemResult, Report, Verdict},
    run::{self, Bar, Ending, Journal, Reuse, RunOptions},
    subject::Subject,
    suite::{Split, Suite},
};
use backstop_models::chat::Usage;
use clap::{Args, ValueEnum};
use serde::Serialize;
use time::OffsetDateTime;

use super::{
    super::{installation::Installation, operator::operator, print},
    located::{Located, located},
    referees::{self, Chosen},
    scope::ScopeArgs,
    subject_for::{self, Examined},
};
use crate::{
    config::Settings,
    domain::Money,
    release::{self, Gate},
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
    referees: Chosen,
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
    if args.against.as_deref().is_some_and(subject_for::is_url) {
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
    let settings = installation.settings();
    let gate = Arc::new(Gate::open(&installation.state)?);
    let desk = Desk { installation, settings, gate, suite, scope, args };
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

/// A run that is over but for its last line, which comes after all that it leads to.
struct Asked {
    report: Report,
    ending: Ending,
}

/// What a run is about.
struct Desk<'a> {
    installation: &'a Installation,
    settings: Settings,
    gate: Arc<Gate>,
    suite: Suite,
    /// What a certificate would be for.
    scope: Scope,
    args: RunArgs,
}

impl Desk<'_> {
    async fn examined(&self, target: &str) -> anyhow::Result<Examined> {
        let Self { installation, settings, gate, suite, args, .. } = self;
        let by_url = subject_for::ByUrl { model: args.model.as_deref(), secret: args.secret.as_deref() };
        subject_for::examined(installation, gate, settings, suite.id(), target, by_url).await
    }

    async fn ask(&self, examined: &Examined, reuse: Reuse, against: Option<Against>) -> anyhow::Result<Asked> {
        let certificates = self.gate.certificates();
        let key = examined.key();
        self.can_be_bounded(examined.subject.as_ref())?;
        let bench = self.bench(examined).await?;
        bench.judge.as_ref().map_or(Ok(()), |judge| self.can_be_bounded(judge.subject.as_ref()))?;
        let journal = Journal::open(&certificates.answers(), &key, &self.suite, reuse)?;
        let attempt = certificates.begin_attempt(&key, &self.suite, journal.is_resumed())?;
        let ending = journal.ending();
        let options = RunOptions {
            concurrency: self.args.concurrency.map_or(examined.concurrency, usize::from),
            per_minute: self.args.rpm,
            max_cost_micros: self.args.max_cost_usd,
            journal: Some(journal),
            subject: key,
            attempt: attempt.number,
            against,
            bench,
        };
        let report = run::run(&self.suite, examined.subject.as_ref(), options, &Bar::new()).await;
        certificates.end_attempt(attempt, report.verdict)?;
        Ok(Asked { report, ending })
    }

    /// A ceiling over what has no price would hold nothing back.
    fn can_be_bounded(&self, subject: &dyn Subject) -> anyhow::Result<()> {
        let usage = Usage { input_tokens: Some(1000), output_tokens: Some(1000), ..Usage::default() };
        let name = subject.name();
        if self.args.max_cost_usd.is_none() || name.starts_with("local/") || subject.cost_micros(&usage).is_some() {
            return Ok(());
        }
        bail!(
            "--max-cost-usd cannot hold back {name}, whose price nobody knows; add it to the config under `models`, or leave the flag out"
        )
    }

    async fn bench(&self, examined: &Examined) -> anyhow::Result<Bench> {
        let Self { installation, settings, gate, suite, args, .. } = self;
        // What the command line says of a family is said of the target, not of the incumbent.
        let name = examined.subject.name();
        let chosen = match &args.against {
            Some(incumbent) if *incumbent == name => &args.referees.without_family(),
            _ => &args.referees,
        };
        let model = if subject_for::is_url(&args.target) { args.model.as_deref().unwrap_or_default() } else { &name };
        referees::Wanted { installation, gate, settings, suite, chosen }.bench(&name, model).await
    }

    /// What the incumbent passed of the same items.
    async fn incumbent(&self, target: &str) -> anyhow::Result<Against> {
        let examined =
            self.examined(target).await.with_context(|| format!("the incumbent {target} cannot be asked"))?;
        let Asked { report, ending } = self.ask(&examined, Reuse::All, None).await?;
        let report_sha256 = self.gate.certificates().keep_report(&report)?;
        ending.finish()?;
        if report.errors > report.errors_allowed {
            bail!("the incumbent {target} cannot be compared with: {}", report.why.join("; "));
        }
        Ok(report.as_incumbent(report_sha256))
    }

    async fn tell(&self, asked: Asked, examined: &Examined) -> anyhow::Result<ExitCode> {
        let Asked { report, ending } = asked;
        let (report, certificates) = (&report, self.gate.certificates());
        let report_sha256 = certificates.keep_report(report)?;
        let report_file = certificates.report_path(&report_sha256);
        let certificate_file = match &examined.binding {
            Some(binding) if self.args.certify && report.verdict == Verdict::Pass => {
                let audit = self.installation.audit().await?;
                let act = release::certifying(operator(), (binding, &self.scope), &report_sha256);
                let (bound, now) = ((binding, self.scope.clone()), OffsetDateTime::now_utc());
                let issue = async { anyhow::Ok(certificates.issue(&self.suite, report, bound, now)?) };
                audit.around(act, issue).await.context("the pass cannot be certified")?;
                self.installation.sign(&audit).await;
                Some(certificates.certificate_path(&binding.target, &binding.suite.name))
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
