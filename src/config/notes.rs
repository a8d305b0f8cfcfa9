//! What this version accepts and does not enforce, and what is worth knowing: said by `check`, and by `serve` at its start.
//!
//! The one list of it: when a part becomes real, its note goes from here.

use super::{AlertTo, MidStream, Settings, path::Path, raw, release::USUAL_RETAIN, share_cap};

/// Says every note, with its place in the file.
pub(super) fn give(settings: &Settings, file: &raw::File, say: &mut dyn FnMut(Path, (&str, &str))) {
    let root = Path::root();
    if settings.routes.is_empty() {
        say(root.clone(), ("there are no routes: only the built-in local model is served, as `default`", ""));
    }
    if file.shared.is_some() {
        say(root.key("shared"), ("this version shares no state between replicas", "run one replica"));
    }
    budgets_can_be_kept(settings, say);
    if settings.release.retain < USUAL_RETAIN {
        let what = "a replaced release may be gone before 30 days are over: a late regret finds nothing to go back to";
        say(root.key("release").key("retain"), (what, "30d, or more"));
    }
    if file.share_cap.is_none() || settings.share_cap.max < 1.0 {
        share_cap::note(settings, say);
    }
    for route in settings.routes.values() {
        let path = root.key("routes").key(route.id.as_str());
        if route.mid_stream == MidStream::Restart {
            let what = "answers begin again for chat completions only: in the other dialects a caller could not tell";
            say(path.key("mid_stream"), (what, "those callers get an in-band error, as with `error`"));
        }
        if route.log_content {
            say(path.key("log_content"), ("prompts and answers of this route are logged", ""));
        }
    }
    plain_http(settings, say);
}

/// A target without a price is left out of calls under a hard budget: better said before than met.
fn budgets_can_be_kept(settings: &Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    let hard = settings
        .tenants
        .values()
        .any(|tenant| tenant.limits.has_hard_budget() || tenant.features.values().any(super::Limits::has_hard_budget));
    for target in settings.targets().into_iter().filter(|target| hard && !settings.prices.contains_key(target)) {
        let message = format!("`{target}` has no known price, so calls under a hard budget leave it out");
        say(Path::root().key("models"), (&message, "give its price under `models:`"));
    }
}

fn plain_http(settings: &Settings, say: &mut dyn FnMut(Path, (&str, &str))) {
    for vendor in settings.vendors.values() {
        if !vendor.self_hosted && is_plain_and_far(&vendor.base_url) {
            let path = Path::root().key("vendors").key(vendor.id.as_str()).key("base_url");
            say(path, ("prompts and the vendor's secret travel unencrypted", "use https"));
        }
    }
    for (index, sink) in settings.alerts.iter().enumerate() {
        if let AlertTo::Pagerduty { url, .. } = &sink.to
            && is_plain_and_far(url)
        {
            let path = Path::root().key("alerts").index(index).key("url");
            say(path, ("the routing key travels unencrypted", "use https"));
        }
    }
}

fn is_plain_and_far(url: &str) -> bool {
    let here = |host: &str| ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name));
    url.strip_prefix("http://").is_some_and(|host| !here(host))
}
