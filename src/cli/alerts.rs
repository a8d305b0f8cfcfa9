//! `backstop alerts`: proves that every receiver can be reached, and shows what is open and what waits.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::json;

use super::{
    Context,
    installation::CONNECT,
    place::Place,
    print::{self, Align},
};
use crate::{
    admin::{verb::alerts as verb, view::AlertsView},
    alert::{Alert, Post, TestedSink},
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
    let place = Place::find(context).await?;
    match args.verb {
        AlertsVerb::Test { sink, json } => {
            let tested = test(&place, sink).await?;
            if json {
                print::json(&tested)?;
            } else {
                print::text(&tested.iter().map(line).collect::<String>())?;
            }
            let fine = tested.iter().all(|tested| tested.ok);
            Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        AlertsVerb::List { json } => {
            let view: AlertsView = match &place {
                Place::Server(remote) => remote.get("/alerts", &[]).await?,
                Place::Here(here) => verb::open(&here.site)?,
            };
            if json {
                print::json(&view)?;
            } else {
                print::text(&as_table(&view))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn test(place: &Place, only: Option<SinkKind>) -> anyhow::Result<Vec<TestedSink>> {
    let kind = only.map(SinkKind::as_str);
    match place {
        Place::Server(remote) => remote.write(Method::POST, "/alerts/test", &json!({ "kind": kind })).await,
        Place::Here(here) => {
            let vault = here.installation.vault().await?;
            let post = Post { vault, client: Clients::default().with_connect_deadline(CONNECT)?.http().clone() };
            Ok(verb::test(&here.site, &post, kind).await?)
        }
    }
}

fn as_table(view: &AlertsView) -> String {
    let columns = [("severity", Align::Left), ("since", Align::Left), ("calls", Align::Right), ("what", Align::Left)];
    let cells = |alert: &Alert| {
        let since = print::moment(alert.first_seen_unix_ms);
        vec![alert.severity.as_str().to_owned(), since, alert.count.to_string(), alert.summary()]
    };
    let mut text = print::table(&columns, &view.open.iter().map(cells).collect::<Vec<_>>());
    for lane in view.outbox.iter().filter(|lane| lane.waiting > 0) {
        text.push_str(&format!("{} waiting for {} {}\n", lane.waiting, lane.kind, lane.name));
    }
    text
}

impl SinkKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
            Self::Alertmanager => "alertmanager",
            Self::Webhook => "webhook",
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
