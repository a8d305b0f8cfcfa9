//! The vendors of a soak: each reply is drawn by the number of the call that asks, and says that number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::{
    super::vendor::{End, Piece, Reply, Seen, Vendor, anthropic_frames, openai_frames},
    draw::{Dialect, Fault, Script, Seed, answer},
};

/// How long a limited vendor says to stay away.
const LIMITED_MS: &str = "40";

/// Letters that leave between two pauses.
const AT_ONCE: usize = 3;

/// Starts the vendor `who`; it is at its best while `calm`.
pub(super) async fn start(seed: Seed, (who, dialect): (&'static str, Dialect), calm: Arc<AtomicBool>) -> Vendor {
    Vendor::start(move |_, seen| {
        let body = seen.json();
        let model = body["model"].as_str().expect("a model").to_owned();
        let number = number(seen);
        let mut script = Script::of(seed, number, (who, &model));
        if calm.load(Ordering::Relaxed) {
            script = Script { fault: None, pause: Duration::from_millis(1), ..script };
        }
        reply(dialect, &answer(seed, number, (who, &model)), &script)
    })
    .await
}

/// The call's number is all that the question says.
fn number(seen: &Seen) -> u64 {
    let body = seen.json();
    let content = &body["messages"][0]["content"];
    let text = content.as_str().or_else(|| content[0]["text"].as_str());
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("the question is no number: {body}"))
}

fn reply(dialect: Dialect, text: &str, script: &Script) -> Reply {
    // The frames before the first letter's, and all of them.
    let (before, frames) = match dialect {
        Dialect::Openai => (1, openai_frames(text)),
        Dialect::Anthropic => (3, anthropic_frames(text)),
    };
    // Past the answer's heading, so that a break is among the letters.
    let cut = (before + text.find(':').expect("the heading ends") + script.breaks_after).min(frames.len() - 4);
    match script.fault {
        None => stream(&frames, script.pause, End::Whole),
        Some(Fault::ServerError) => error(dialect, 500),
        Some(Fault::RateLimited) => {
            let error = json!({"error": {"message": "slow down", "type": "rate_limit_error"}, "type": "error"});
            Reply::json_with(429, ("retry-after-ms", LIMITED_MS), &error)
        }
        Some(Fault::Reset) => Reply::Reset,
        Some(Fault::Silence) => Reply::Silence,
        Some(Fault::Cut) => stream(&frames[..cut], script.pause, End::Cut),
        Some(Fault::Stall) => stream(&frames[..cut], script.pause, End::Silence),
        Some(Fault::ErrorEvent) => {
            let event = match dialect {
                Dialect::Openai => "data: {\"error\":{\"message\":\"broken\",\"type\":\"server_error\"}}\n\n",
                Dialect::Anthropic => {
                    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"broken\"}}\n\n"
                }
            };
            stream(&[&frames[..cut], &[event.to_owned()]].concat(), script.pause, End::Whole)
        }
    }
}

fn error(dialect: Dialect, status: u16) -> Reply {
    match dialect {
        Dialect::Openai => Reply::openai_error(status, "server_error"),
        Dialect::Anthropic => Reply::anthropic_error(status, "api_error"),
    }
}

fn stream(frames: &[String], pause: Duration, end: End) -> Reply {
    let groups = frames.chunks(AT_ONCE).flat_map(|group| [Piece::Text(group.concat()), Piece::Pause(pause)]);
    Reply::Stream { pieces: groups.collect(), end }
}
