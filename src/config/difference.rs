//! What changed between two settings, in words short enough for a log line.

use std::{collections::BTreeMap, fmt::Display};

use super::{LocalTier, Rule, Settings};

/// One entry per section that differs: `routes: +new -gone ~changed`.
pub(super) fn between(old: &Settings, new: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    changes.extend(of_map("vendors", &old.vendors, &new.vendors));
    changes.extend(of_map("routes", &old.routes, &new.routes));
    changes.extend(of_map("tenants", &old.tenants, &new.tenants));
    changes.extend(of_map("prices", &old.prices, &new.prices));
    changes.extend(of_map("capabilities", &old.capabilities, &new.capabilities));
    changes.extend(of_map("embedding_spaces", &old.embedding_spaces, &new.embedding_spaces));
    changes.extend(of_map("tokenizers of models", &old.tokenizers.by_target, &new.tokenizers.by_target));
    changes.extend(of_map("tokenizers of vendors", &old.tokenizers.by_vendor, &new.tokenizers.by_vendor));
    changes.extend(of_map("rules", &by_name(old), &by_name(new)));
    let sections = [
        ("enforcement", old.enforcement != new.enforcement),
        ("breaker", old.breaker != new.breaker),
        ("latency", old.latency != new.latency),
        ("share_cap", old.share_cap != new.share_cap),
        ("alerts", old.alerts != new.alerts),
        ("the order of local models", old.local_models() != new.local_models()),
        ("admin.oidc", old.oidc != new.oidc),
        ("incidents", old.incidents != new.incidents),
        ("prometheus", old.prometheus != new.prometheus),
        ("audit", old.audit != new.audit),
        ("limits", old.max_body_bytes != new.max_body_bytes || old.doors != new.doors),
        ("trusted_proxies", old.trusted_proxies != new.trusted_proxies),
        ("release", old.release != new.release),
        ("drill", old.drill != new.drill),
        ("gate", old.gate != new.gate),
        ("eval", old.eval != new.eval),
        ("drain", old.drain != new.drain),
    ];
    changes.extend(sections.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name.to_owned()));
    changes
}

fn by_name(settings: &Settings) -> BTreeMap<&str, &Rule> {
    settings.rules.iter().map(|rule| (rule.name.as_str(), rule)).collect()
}

/// Takes back what a running gateway cannot change, and names it.
pub(super) fn keep_what_needs_a_restart(old: &Settings, new: &mut Settings) -> Vec<&'static str> {
    let mut kept = Vec::new();
    keep("listen", &old.listen, &mut new.listen, &mut kept);
    keep("admin.listen", &old.admin_listen, &mut new.admin_listen, &mut kept);
    keep("storage", &old.sqlite_path, &mut new.sqlite_path, &mut kept);
    keep("telemetry", &old.telemetry, &mut new.telemetry, &mut kept);
    keep("vault", &old.vault, &mut new.vault, &mut kept);
    // What an hour costs is no more than a price.
    let local = LocalTier { usd_per_hour: new.local.usd_per_hour, ..old.local };
    keep("local", &local, &mut new.local, &mut kept);
    kept
}

fn keep<T: Clone + PartialEq>(name: &'static str, old: &T, new: &mut T, kept: &mut Vec<&'static str>) {
    if old != new {
        new.clone_from(old);
        kept.push(name);
    }
}

fn of_map<K: Ord + Display, V: PartialEq>(name: &str, old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Option<String> {
    const MOST: usize = 20;
    let gone = old.keys().filter(|key| !new.contains_key(key)).map(|key| format!("-{key}"));
    let other = new.iter().filter_map(|(key, value)| match old.get(key) {
        None => Some(format!("+{key}")),
        Some(before) if before != value => Some(format!("~{key}")),
        Some(_) => None,
    });
    let mut words: Vec<String> = gone.chain(other).collect();
    if words.len() > MOST {
        let more = words.len() - MOST;
        words.truncate(MOST);
        words.push(format!("and {more} more"));
    }
    (!words.is_empty()).then(|| format!("{name}: {}", words.join(" ")))
}
