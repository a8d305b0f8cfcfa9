//! `backstop release` on a gateway that runs elsewhere, over its admin API: those verbs that the API has.

use std::process::ExitCode;

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ReleaseVerb, canary::CanaryArgs, print};
use crate::{
    cli::{
        Context,
        print::Align,
        remote::{Remote, part},
    },
    config::CanaryMode,
};

/// The server that is meant; `None`: the state directory is. What must not wait for anything goes to a server only where one is named.
pub(super) async fn find(context: &Context, verb: &ReleaseVerb) -> anyhow::Result<Option<Remote>> {
    let has_form = match verb {
        ReleaseVerb::Propose { .. }
        | ReleaseVerb::Approve { .. }
        | ReleaseVerb::Promote { .. }
        | ReleaseVerb::Status { .. }
        | ReleaseVerb::Card { .. } => true,
        ReleaseVerb::Canary(canary) => !canary.stop || context.names_a_server(),
        ReleaseVerb::Rollback { .. } => context.names_a_server(),
        _ => false,
    };
    match has_form {
        true => Remote::find(context).await,
        false if context.names_a_server() => {
            bail!("this verb works on the state directory alone; leave --server and --context out")
        }
        false => Ok(None),
    }
}

pub(super) async fn run(remote: &Remote, verb: ReleaseVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ReleaseVerb::Propose { route, targets, reason, json } => {
            let body = json!({ "targets": targets, "reason": reason });
            let made: Value = remote.write(Method::POST, &releases(&route), &body).await?;
            let number = &made["release"];
            let line = format!(
                "release {number} of {route}; `backstop release promote {route} {number} --reason …` makes it serve"
            );
            print_either(&made, json, &line)?;
        }
        ReleaseVerb::Approve { route, number, reason } => {
            let reason = if reason.is_empty() { "approved".to_owned() } else { reason };
            let path = format!("{}/{number}/approve", releases(&route));
            let _: Value = remote.write(Method::POST, &path, &json!({ "reason": reason })).await?;
        }
        ReleaseVerb::Promote { route, number, reason, approve_by, json } => {
            vouched_for(&approve_by)?;
            let path = format!("{}/{number}/promote", releases(&route));
            let moved: Value = remote.write(Method::POST, &path, &json!({ "reason": reason })).await?;
            let line = format!(
                "{route} serves release {number} in the place of {}: {}",
                moved["from"],
                texts(&moved["targets"])
            );
            print_either(&moved, json, &line)?;
            for caution in moved["cautions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                eprintln!("warning: only because enforcement is `warn`: {caution}");
            }
        }
        ReleaseVerb::Rollback { route, reason, to, from, json } => {
            if to.is_some() || from.is_some() {
                bail!("--to and --from work on the state directory alone; leave --server and --context out");
            }
            let path = format!("/routes/{}/rollback", part(&route));
            let moved: Value = remote.write(Method::POST, &path, &json!({ "reason": reason })).await?;
            let line =
                format!("{route} serves release {} in the place of {}", moved["to_version"], moved["from_version"]);
            print_either(&moved, json, &line)?;
        }
        ReleaseVerb::Canary(args) => canary(remote, args).await?,
        ReleaseVerb::Status { route, json } => status(remote, route, json).await?,
        ReleaseVerb::Card { model, suite, json } => {
            let made: Value = remote.get(&format!("/models/{}/card", part(&model)), &[("suite", suite)]).await?;
            match json {
                true => print::json(&made["card"])?,
                false => print::text(made["markdown"].as_str().unwrap_or_default())?,
            }
        }
        _ => bail!("this verb works on the state directory alone; leave --server and --context out"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn canary(remote: &Remote, args: CanaryArgs) -> anyhow::Result<()> {
    let CanaryArgs { route, number, pct, by, shadow, stop, show, reason, approve_by, json } = args;
    vouched_for(&approve_by)?;
    if show {
        let shown: Value = remote.get(&releases(&route), &[]).await?;
        let said = json!({ "route": route, "serving": shown["serving"], "canary": shown["canary"], "shadows": shown["shadows"] });
        return print::json(&said);
    }
    if stop {
        let path = format!("/routes/{}/canary", part(&route));
        let ended: Value = remote.write(Method::DELETE, &path, &json!({ "reason": reason })).await?;
        return print_either(&ended, json, &format!("release {} is not tried on {route} any more", ended["release"]));
    }
    let mode = if shadow { CanaryMode::Shadow } else { CanaryMode::Serve };
    let number = number.unwrap_or_default();
    let body = json!({ "pct": pct, "by": by, "mode": mode, "reason": reason });
    let tried: Value = remote.write(Method::POST, &format!("{}/{number}/canary", releases(&route)), &body).await?;
    print_either(&tried, json, &format!("{route}: release {number} has {} % of the calls", tried["pct"]))
}

async fn status(remote: &Remote, route: Option<String>, json: bool) -> anyhow::Result<()> {
    let routes = match route {
        Some(route) => vec![route],
        None => {
            let all: Vec<Value> = remote.get("/routes", &[]).await?;
            all.iter().filter_map(|one| one["route"].as_str().map(str::to_owned)).collect()
        }
    };
    let mut shown: Vec<Value> = Vec::new();
    for route in &routes {
        shown.push(remote.get(&releases(route), &[]).await?);
    }
    if json {
        return print::json(&shown);
    }
    let heads = ["route", "serves", "since", "retained", "canary"].map(|head| (head, Align::Left));
    let cells = |one: &Value| {
        let retained = one["retained"].as_array().into_iter().flatten().map(|lease| lease["release"].to_string());
        let canary = match &one["canary"] {
            Value::Null => String::new(),
            canary => format!(
                "{} has {} % ({})",
                canary["release"],
                canary["pct"],
                canary["mode"].as_str().unwrap_or_default()
            ),
        };
        vec![
            one["route"].as_str().unwrap_or_default().to_owned(),
            one["serving"].to_string(),
            print::moment(one["since_unix_ms"].as_i64().unwrap_or_default()),
            retained.collect::<Vec<_>>().join(", "),
            canary,
        ]
    };
    Ok(print::text(&print::table(&heads, &shown.iter().map(cells).collect::<Vec<_>>()))?)
}

/// Over a network a person is a token.
fn vouched_for(names: &[String]) -> anyhow::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    bail!("over --server nobody vouches for another: whoever agrees runs `release approve` with a token of their own")
}

fn releases(route: &str) -> String {
    format!("/routes/{}/releases", part(route))
}

fn texts(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn print_either(said: &Value, json: bool, line: &str) -> anyhow::Result<()> {
    if json {
        return print::json(said);
    }
    println!("{line}");
    Ok(())
}
