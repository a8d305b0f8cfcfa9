//! The buttons: a page that says what will serve afterwards and asks why, and the act itself, which is the API's.

use axum::{http::Method, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};

use super::{
    page::{self, NoPage, route_path},
    route::stand,
    visit::{Sent, Visit},
};
use crate::{
    admin::{asked::known_route, door, refused::Refused},
    clock,
    domain::Right,
    release::book::CameBy,
};

/// An act of the console is one of the API's.
struct Button {
    method: Method,
    path: &'static str,
    /// Of the page that confirms it, below the route's.
    below: &'static str,
    title: &'static str,
    /// The member of the API's body by which it is done only to what the page has shown.
    only_if: &'static str,
}

const ROLL_BACK: Button = Button {
    method: Method::POST,
    path: "/routes/{route}/rollback",
    below: "rollback",
    title: "Roll back",
    only_if: "from_version",
};
const END_CANARY: Button = Button {
    method: Method::DELETE,
    path: "/routes/{route}/canary",
    below: "canary/end",
    title: "End canary",
    only_if: "release",
};

pub(super) async fn confirm_rollback(visit: Visit) -> Result<Response, NoPage> {
    confirm(visit, &ROLL_BACK)
}

pub(super) async fn confirm_canary_end(visit: Visit) -> Result<Response, NoPage> {
    confirm(visit, &END_CANARY)
}

pub(super) async fn roll_back(sent: Sent) -> Result<Response, NoPage> {
    let done = press(&sent, &ROLL_BACK).await?;
    let text = |name: &str| done[name].as_str().unwrap_or_default().to_owned();
    let what = format!(
        "Release {} serves route {} in the place of release {}: {} is asked first.",
        done["to_version"],
        text("route"),
        done["from_version"],
        text("primary")
    );
    Ok(back(&sent, what))
}

pub(super) async fn end_canary(sent: Sent) -> Result<Response, NoPage> {
    let done = press(&sent, &END_CANARY).await?;
    let route = done["route"].as_str().unwrap_or_default();
    Ok(back(&sent, format!("Release {} is not tried on route {route} any more.", done["release"])))
}

fn confirm(visit: Visit, button: &Button) -> Result<Response, NoPage> {
    door::may(&visit.operator, Right::RollBack)?;
    let route = known_route(&visit.console.admin, visit.param("route"))?;
    let stand = stand(&visit, &route)?;
    let is_rollback = button.below == ROLL_BACK.below;
    let why_not = match (is_rollback, &stand.retained, stand.canary) {
        (true, None, _) => Some("This route retains no earlier release."),
        (true, Some(_), _) if stand.came_by == CameBy::Rollback => {
            Some("This route was rolled back already. `backstop release rollback ROUTE --to N` takes it forward again.")
        }
        (false, _, None) => Some("Nothing is tried on this route now."),
        _ => None,
    };
    let values = json!({
        "title": button.title,
        "action": format!("{}/{}", route_path(route.as_str()), button.below),
        "route": route.as_str(),
        "is_rollback": is_rollback,
        "why_not": why_not,
        "serving": stand.serving,
        "retained": stand.retained,
        "canary": stand.canary,
        "key": BASE64URL.encode(clock::random_bytes::<24>()),
    });
    Ok(visit.page("confirm.html", values))
}

/// Does it, if what serves, or is tried, is still what the page has shown.
async fn press(sent: &Sent, button: &Button) -> Result<Value, NoPage> {
    let visit = &sent.visit;
    let reason = sent.field("reason").ok_or_else(|| Refused::invalid("say why: the reason is kept for ever"))?;
    let key = sent.field("key").ok_or_else(not_whole)?;
    let shown: u32 = sent.field("shown").and_then(|number| number.parse().ok()).ok_or_else(not_whole)?;
    let body = json!({ "reason": reason, button.only_if: shown });
    let done = visit.act((button.method.clone(), button.path), &body, key).await?;
    let answer: Value = serde_json::from_str(&done.body).unwrap_or_default();
    if done.status.is_success() {
        return Ok(answer);
    }
    // What was refused for the first form with this key.
    let message = answer["error"]["message"].as_str().unwrap_or("it was not done").to_owned();
    let values = json!({ "status": done.status.as_u16(), "message": message });
    Err(page::page(done.status, "refused.html", &values).into())
}

fn not_whole() -> Refused {
    Refused::invalid("the form is not whole; load its page anew")
}

fn back(sent: &Sent, what: String) -> Response {
    let visit = &sent.visit;
    visit.say(what);
    page::go_to(&route_path(visit.param("route")))
}
