//! `backstop alerts`: proves that every receiver can be reached, and shows what is open and what waits.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::{
    Context,
    installation::{CONNECT, Installation},
    print::{self, Align},
};
use crate::{
    alert::{self, Alert, Entry, Post, Sent, State},
    clock,
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

/// What came of testing one receiver.
struct Tested {
    kind: &'static str,
    name: String,
    /// What it answered, or what went wrong.
    result: Result<u16, String>,
}

pub async fn run(context: &Context, args: AlertsArgs) -> anyhow::Result<ExitCode> {
    let installation = Installation::find(context)?;
    match args.verb {
        AlertsVerb::Test { sink, json } => test(&installation, sink, json).await,
        AlertsVerb::List { json } => list(&installation, json),
    }
}

async fn test(installation: &Installation, only: Option<SinkKind>, json: bool) -> anyhow::Result<ExitCode> {
    let mut sinks = installation.settings().alerts;
    sinks.retain(|sink| only.is_none_or(|only| SinkKind::of(sink) == only));
    anyhow::ensure!(!sinks.is_empty(), "the config has no such receiver; name some under `alerts:`");
    let post = Post { vault: installation.vault().await?, client: Clients::default().with_connect_deadline(CONNECT)? };
    // Side by side: one that hangs does not keep the others waiting.
    let tests = sinks.iter().map(|sink| test_one(&post, sink));
    let tested = futures_util::future::join_all(tests).await;
    let fine = tested.iter().all(|tested| tested.result.is_ok());
    if json {
        let all: Vec<_> = tested.iter().map(Tested::json).collect();
        print::json(&all)?;
    } else {
        for tested in &tested {
            print::text(&tested.line())?;
        }
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The alert, then its end, so that no test leaves an incident open.
async fn test_one(post: &Post, sink: &AlertSink) -> Tested {
    let now = clock::unix_ms();
    let mut result = Ok(0);
    for state in [State::Firing, State::Resolved] {
        let entry = Entry { id: Uuid::now_v7(), alert: Alert::test(state, now), since_unix_ms: now };
        result = match post.send(sink, &entry).await {
            Sent::Taken { status } => Ok(status),
            Sent::Refused { status } => Err(format!("it refuses what we send ({status})")),
            Sent::Failed { why, .. } => Err(why.to_string()),
        };
        if result.is_err() {
            break;
        }
    }
    Tested { kind: sink.kind(), name: alert::SinkId::of(sink).name().to_owned(), result }
}

fn list(installation: &Installation, json: bool) -> anyhow::Result<ExitCode> {
    let kept = alert::read(&installation.state.alerts())?;
    let open: Vec<&Alert> = kept.incidents.iter().filter(|known| known.is_open()).map(|known| &known.alert).collect();
    let waiting: Vec<(&str, &str, usize)> =
        kept.outbox.waiting_by_sink().map(|(sink, waiting)| (sink.kind(), sink.name(), waiting)).collect();
    if json {
        let waiting: Vec<_> =
            waiting.iter().map(|(kind, name, count)| json!({ "kind": kind, "name": name, "waiting": count })).collect();
        print::json(&json!({ "open": open, "outbox": waiting }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [("severity", Align::Left), ("since", Align::Left), ("calls", Align::Right), ("what", Align::Left)];
    let cells = |alert: &&Alert| {
        let since = print::moment(alert.first_seen_unix_ms);
        vec![alert.severity.as_str().to_owned(), since, alert.count.to_string(), alert.summary()]
    };
    print::text(&print::table(&columns, &open.iter().map(cells).collect::<Vec<_>>()))?;
    for (kind, name, count) in waiting.into_iter().filter(|(_, _, count)| *count > 0) {
        print::text(&format!("{count} waiting for {kind} {name}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
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

impl Tested {
    fn line(&self) -> String {
        let Self { kind, name, result } = self;
        match result {
            Ok(status) => format!("{kind} {name}: taken ({status})\n"),
            Err(why) => format!("{kind} {name}: failed: {why}\n"),
        }
    }

    fn json(&self) -> serde_json::Value {
        let Self { kind, name, result } = self;
        json!({ "kind": kind, "name": name, "ok": result.is_ok(), "status": result.as_ref().ok(), "error": result.as_ref().err() })
    }
}
