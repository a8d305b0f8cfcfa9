//! `backstop alerts`: proves that every receiver can be reached, and shows what is open and what waits.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    Context,
    installation::{CONNECT, Installation},
    print::{self, Align},
};
use crate::{
    alert::{self, Alert, Kept, Post, SinkId, TestedSink},
    config::AlertSink,
    vendor::Clients,
};

/// Alerts: test the receivers, list what is open.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    #[command(subcommand)]
    verb: AlertsVerb,
}

#[derive(Debug, Subcommand)]
enum AlertsVerb {
    /// Send every receiver a test alert and its end, now; exit code 1 when one does not take them
    Test {
        /// Only receivers of this kind
        #[arg(long, value_name = "KIND")]
        sink: Option<SinkKind>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Incidents that are open, and how many alerts wait for each receiver
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SinkKind {
    Slack,
    Pagerduty,
    Alertmanager,
    Webhook,
}

pub async fn run(context: &Context, args: AlertsArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    match args.verb {
        AlertsVerb::Test { sink, json } => {
            let tested = test(&installation, sink).await?;
            if json {
                print::json(&tested)?;
            } else {
                print::text(&tested.iter().map(line).collect::<String>())?;
            }
            let fine = tested.iter().all(|tested| tested.ok);
            Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        AlertsVerb::List { json } => {
            let kept = alert::read(&installation.state.alerts())?;
            if json {
                print::json(&as_json(&kept))?;
            } else {
                print::text(&as_table(&kept))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn test(installation: &Installation, only: Option<SinkKind>) -> anyhow::Result<Vec<TestedSink>> {
    let mut sinks = installation.settings().alerts;
    sinks.retain(|sink| only.is_none_or(|only| SinkKind::of(sink) == only));
    anyhow::ensure!(!sinks.is_empty(), "the config has no such receiver; name some under `alerts:`");
    let vault = installation.vault().await?;
    let post = Post { vault, client: Clients::default().with_connect_deadline(CONNECT)?.http().clone() };
    Ok(alert::test_sinks(&post, &sinks).await)
}

fn open(kept: &Kept) -> impl Iterator<Item = &Alert> {
    kept.incidents.iter().filter(|known| known.is_open()).map(|known| &known.alert)
}

fn as_json(kept: &Kept) -> serde_json::Value {
    let lane =
        |(sink, waiting): (&SinkId, usize)| json!({ "kind": sink.kind(), "name": sink.name(), "waiting": waiting });
    let outbox: Vec<_> = kept.outbox.waiting_by_sink().map(lane).collect();
    json!({ "open": open(kept).collect::<Vec<_>>(), "outbox": outbox })
}

fn as_table(kept: &Kept) -> String {
    let columns = [("severity", Align::Left), ("since", Align::Left), ("calls", Align::Right), ("what", Align::Left)];
    let cells = |alert: &Alert| {
        let since = print::moment(alert.first_seen_unix_ms);
        vec![alert.severity.as_str().to_owned(), since, alert.count.to_string(), alert.summary()]
    };
    let mut text = print::table(&columns, &open(kept).map(cells).collect::<Vec<_>>());
    for (sink, waiting) in kept.outbox.waiting_by_sink().filter(|(_, waiting)| *waiting > 0) {
        text.push_str(&format!("{waiting} waiting for {} {}\n", sink.kind(), sink.name()));
    }
    text
}

impl SinkKind {
    fn of(sink: &AlertSink) -> Self {
        use crate::config::AlertTo;
        match sink.to {
            AlertTo::Slack { .. } => Self::Slack,
            AlertTo::Pagerduty { .. } => Self::Pagerduty,
            AlertTo::Alertmanager { .. } => Self::Alertmanager,
            AlertTo::Webhook { .. } => Self::Webhook,
        }
    }
}

fn line(tested: &TestedSink) -> String {
    let TestedSink { kind, name, status, error, .. } = tested;
    match error {
        None => format!("{kind} {name}: taken ({})\n", status.unwrap_or_default()),
        Some(why) => format!("{kind} {name}: failed: {why}\n"),
    }
}
