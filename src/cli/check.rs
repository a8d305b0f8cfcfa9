//! `backstop check`: says everything there is to say about the config, and fails on what strict mode would leave out.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;

use super::{Context, installation::Installation};
use crate::{
    config::{self, Enforcement, Finding, Settings, Severity},
    domain::FaultKind,
    release::{Gate, machine, rooms},
    route::{Decision, plan},
};

/// How long it waits for files that do not answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Check the config and say every fault at once.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print the JSON Schema of the config instead, for editors
    #[arg(long)]
    pub schema: bool,
    /// Print findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// Exit code 0 when nothing is an error or a breach, else 1.
pub async fn run(context: &Context, args: CheckArgs) -> anyhow::Result<ExitCode> {
    if args.schema {
        println!("{}", serde_json::to_string_pretty(&config::schema())?);
        return Ok(ExitCode::SUCCESS);
    }
    let file = context.config_file().context("there is no backstop.yaml here; name a config with --config FILE")?;
    let (settings, mut findings) = findings(&file);
    if let Some(settings) = &settings {
        findings.extend(beyond_the_file(context, settings, &file).await?);
    }
    let passes = findings.iter().all(|finding| finding.severity == Severity::Note);
    if args.json {
        let report = serde_json::json!({ "ok": passes, "findings": findings });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for finding in &findings {
            println!("{:6} {finding}", finding.severity.as_str());
        }
        println!("{}", summary(settings.as_ref(), &findings));
    }
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is to be said about the config in `file`, and its settings where they can be used.
fn findings(file: &Path) -> (Option<Settings>, Vec<Finding>) {
    match config::load_file(file) {
        Ok(loaded) => (Some(loaded.settings), loaded.findings),
        Err(findings) => (None, findings),
    }
}

/// What the state directory adds: targets without a certificate, vendors and others without the secret that they need.
async fn beyond_the_file(context: &Context, settings: &Settings, file: &Path) -> anyhow::Result<Vec<Finding>> {
    let installation = Installation::find(context)?;
    let gate = Gate::open(&installation.state)?;
    let (examined, examination) = {
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || {
            let examination = gate.examine(&settings, PATIENCE);
            (settings, examination)
        })
        .await?
    };
    let name = file.to_string_lossy();
    let mut findings = Vec::new();
    for route in examined.routes.values() {
        for step in plan(route, &examination.standings, Enforcement::Strict).steps {
            if let Decision::Skip(fault) = step.decision
                && fault.kind == FaultKind::Uncertified
            {
                let mut finding = Finding::of_file(Severity::Breach, &*name, &fault.detail);
                finding.path = format!("routes.{}.targets[{}]", route.id, step.index);
                findings.push(finding);
            }
        }
    }
    for ((target, suite), warning) in &examination.warnings {
        let mut finding = Finding::of_file(Severity::Note, &*name, format!("{target} by {suite}: {warning}"));
        finding.path = "gate".to_owned();
        findings.push(finding);
    }
    let rooms = rooms(&examined, &machine(&examined.local), &examination.local, |_| true);
    for route in examined.routes.values() {
        for (index, target) in route.targets.iter().enumerate().filter(|(_, target)| target.id.is_local()) {
            if let Some(Err(short)) = rooms.get(&*target.id.model) {
                let message = format!("{} does not fit the memory of the local models: it {short}", target.id);
                let help =
                    "raise `local.memory`, lower `local.context_tokens` or `local.running`, or name fewer models";
                let mut finding = Finding::of_file(Severity::Breach, &*name, message).with_help(help);
                finding.path = format!("routes.{}.targets[{index}]", route.id);
                findings.push(finding);
            }
        }
    }
    let wanted = examined.local.device;
    if let Some(why) = wanted.choose().fallback {
        let mut finding = Finding::of_file(Severity::Note, &*name, format!("the CPU computes local models: {why}"))
            .with_help("its certificates are the CPU's own; take `cpu` or `auto`, or mend the GPU");
        finding.path = "local.device".to_owned();
        findings.push(finding);
    }
    let vault = installation.vault().await?;
    for vendor in settings.vendors.values().filter(|vendor| vendor.needs_secret && vault.get(&vendor.secret).is_none())
    {
        let message = format!("the vault has no secret `{}`: calls to this vendor will fail", vendor.secret);
        let mut finding = Finding::of_file(Severity::Note, &*name, message)
            .with_help(format!("run `backstop vault set {}` with the secret on standard input", vendor.secret));
        finding.path = format!("vendors.{}", vendor.id);
        findings.push(finding);
    }
    for (path, secret, what) in receivers(settings) {
        if vault.get(secret).is_some() {
            continue;
        }
        let message = format!("the vault has no secret `{secret}`: {what}");
        let mut finding = Finding::of_file(Severity::Note, &*name, message)
            .with_help(format!("run `backstop vault set {secret}` with the secret on standard input"));
        finding.path = path;
        findings.push(finding);
    }
    Ok(findings)
}

/// Who else needs a secret: where in the config, its name, and what is without it.
fn receivers(settings: &Settings) -> Vec<(String, &str, &'static str)> {
    let alerts = settings.alerts.iter().enumerate().filter_map(|(index, sink)| {
        Some((format!("alerts[{index}]"), sink.secret()?, "no alert reaches this receiver"))
    });
    let audit = settings.audit.publish.iter().enumerate().filter_map(|(index, sink)| {
        Some((format!("audit.publish[{index}]"), sink.secret()?, "no checkpoint of the audit log gets there"))
    });
    let portals = settings.release.publish.iter().enumerate().filter_map(|(index, sink)| {
        Some((format!("release.publish[{index}]"), sink.secret()?, "no model card or release notes get there"))
    });
    let pager =
        settings.incidents.pagerduty_secret.as_deref().into_iter().map(|secret| {
            ("incidents.pagerduty.signing_secret".to_owned(), secret, "no webhook of PagerDuty is taken")
        });
    let prometheus = settings.prometheus.iter().filter_map(|prometheus| {
        Some(("prometheus.secret".to_owned(), prometheus.secret.as_deref()?, "its figures cannot be read"))
    });
    alerts.chain(audit).chain(portals).chain(pager).chain(prometheus).collect()
}

/// One line: what the config has, or how many findings stand in its way.
fn summary(settings: Option<&Settings>, findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let said = [
        amount(count(Severity::Error), "error"),
        amount(count(Severity::Breach), "breach"),
        amount(count(Severity::Note), "note"),
    ];
    let (errors, breaches) = (count(Severity::Error), count(Severity::Breach));
    match settings {
        Some(settings) if errors + breaches == 0 => format!(
            "ok: {}, {}, {}, {}",
            amount(settings.routes.len(), "route"),
            amount(settings.vendors.len(), "vendor"),
            amount(settings.targets().len(), "target"),
            said[2],
        ),
        Some(_) => format!("not ok: {}; strict mode leaves out what is in breach", said.join(", ")),
        None => format!("not ok: {}; the config cannot be used", said.join(", ")),
    }
}

fn amount(count: usize, noun: &str) -> String {
    let ending = match (count, noun) {
        (1, _) => "",
        (_, "breach") => "es",
        _ => "s",
    };
    format!("{count} {noun}{ending}")
}
