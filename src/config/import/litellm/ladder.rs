//! Fallbacks, aliases and timeouts: what LiteLLM does between groups, as targets at the end of a route.

use std::{collections::HashMap, time::Duration};

use super::Importer;
use crate::config::{import::draft::Route, path::Path, tree::Node, words};

/// Where LiteLLM takes these settings from; both may be given.
const SECTIONS: [&str; 2] = ["router_settings", "litellm_settings"];

impl Importer<'_> {
    pub(super) fn ladders(&mut self, tree: &Node) {
        let groups: HashMap<String, Vec<String>> =
            self.draft.routes.iter().map(|route| (route.name.clone(), route.targets.clone())).collect();
        for section in SECTIONS {
            let Some(settings) = tree.get(section) else { continue };
            let path = Path::root().key(section);
            self.fallbacks(settings, &path, "fallbacks", &groups, |_| {});
            let context = |route: &mut Route| route.next_on_context_length = true;
            self.fallbacks(settings, &path, "context_window_fallbacks", &groups, context);
            let policy = |route: &mut Route| route.next_on_content_policy = true;
            self.fallbacks(settings, &path, "content_policy_fallbacks", &groups, policy);
            if let Some(names) = settings.get("default_fallbacks") {
                self.append(names, &path.key("default_fallbacks"), "*", &groups, |_| {});
            }
        }
        self.timeouts(tree);
        if let Some(aliases) = tree.get("router_settings").and_then(|settings| settings.get("model_group_alias")) {
            self.aliases(aliases);
        }
    }

    /// `[{group: [group, …]}, …]`
    fn fallbacks(
        &mut self,
        settings: &Node,
        path: &Path,
        key: &str,
        groups: &HashMap<String, Vec<String>>,
        mark: fn(&mut Route),
    ) {
        let Some(list) = settings.get(key) else { return };
        let path = path.key(key);
        if key != "fallbacks" && !list.items().is_empty() {
            self.note(list, &path, "carried as targets at the end of the route, which also take over for other faults");
        }
        for (index, item) in list.items().iter().enumerate() {
            for entry in item.entries() {
                let here = path.index(index).key(entry.key.as_str());
                self.append(&entry.value, &here, &entry.key, groups, mark);
            }
            if item.entries().is_empty() {
                self.note(item, &path.index(index), "not carried: it names no group");
            }
        }
    }

    /// Appends the targets of the groups in `names` to the route `route`, `*` for every route.
    fn append(
        &mut self,
        names: &Node,
        path: &Path,
        route: &str,
        groups: &HashMap<String, Vec<String>>,
        mark: fn(&mut Route),
    ) {
        let mut found = Vec::new();
        for (index, name) in names.items().iter().enumerate() {
            match name.as_text().and_then(|name| groups.get(name)) {
                Some(targets) => found.extend(targets.iter().cloned()),
                None => {
                    let shown = name.as_text().map_or_else(|| name.value.kind().to_owned(), words::cut);
                    let message = format!("not carried: `{shown}` is no group that was carried");
                    self.note(name, &path.index(index), message);
                }
            }
        }
        let mut routes: Vec<&mut Route> =
            self.draft.routes.iter_mut().filter(|known| route == "*" || known.name == route).collect();
        for known in &mut routes {
            for target in &found {
                if !known.targets.contains(target) {
                    known.targets.push(target.clone());
                    mark(known);
                }
            }
        }
        if routes.is_empty() {
            self.note(names, path, format!("not carried: `{}` is no group that was carried", words::cut(route)));
        }
    }

    /// LiteLLM's `timeout` is one attempt's, `stream_timeout` the first chunk's.
    fn timeouts(&mut self, tree: &Node) {
        let mut span = |section: &str, key: &str| {
            let node = tree.get(section)?.get(key)?;
            let span = node.as_number().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let span = span.filter(|span| (1..=24 * 3600 * 1000).contains(&span.as_millis()));
            if span.is_none() {
                self.note(node, &Path::root().key(section).key(key), "not carried: it is not from 1 ms to 24 h");
            }
            span
        };
        let general = span("litellm_settings", "request_timeout");
        let attempt = span("router_settings", "timeout").or(general);
        let first_token = span("router_settings", "stream_timeout");
        for route in &mut self.draft.routes {
            route.attempt = attempt;
            route.first_token = first_token;
        }
    }

    /// `{alias: group}` or `{alias: {model: group, hidden: …}}`
    fn aliases(&mut self, aliases: &Node) {
        let path = Path::root().key("router_settings").key("model_group_alias");
        for entry in aliases.entries() {
            let here = path.key(entry.key.as_str());
            if entry.value.get("hidden").is_some() {
                self.note(&entry.value, &here, "`hidden` is not carried: `/v1/models` lists every route");
            }
            let group = entry.value.as_text().or_else(|| entry.value.text("model"));
            let taken = self.draft.routes.iter().any(|route| route.name == entry.key);
            let found = self.draft.routes.iter().find(|route| Some(route.name.as_str()) == group);
            match found {
                Some(route) if !taken && is_a_name(&entry.key) => {
                    let alias = Route { name: entry.key.clone(), ..route.clone() };
                    self.draft.routes.push(alias);
                }
                Some(_) => self.note(&entry.value, &here, "not carried: this cannot be the name of another route"),
                None => self.note(&entry.value, &here, "not carried: it names no group that was carried"),
            }
        }
    }
}

/// Whether our loader takes `name` for a route's.
fn is_a_name(name: &str) -> bool {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    (1..=128).contains(&name.len()) && !name.contains(blank) && crate::config::secret_scan::find(name).is_none()
}
