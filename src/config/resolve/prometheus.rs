//! `prometheus:`.

use std::{collections::BTreeMap, time::Duration};

use super::Resolver;
use crate::{
    config::{PrometheusQuery, PrometheusSettings, path::Path, raw, words},
    domain::is_plain_name,
};

const USUAL: Duration = Duration::from_secs(60);
const MOST_QUERIES: usize = 50;
/// The longest query, in bytes: it is a part of a URL.
const LONGEST: usize = 4096;

impl Resolver<'_, '_> {
    pub(super) fn prometheus(&mut self, raw: Option<&raw::Prometheus>) -> Option<PrometheusSettings> {
        let raw = raw?;
        let path = Path::root().key("prometheus");
        let url = raw.url.as_ref().and_then(|url| self.url(&path.key("url"), url));
        if let Some(name) = &raw.secret {
            self.secret_name(&path.key("secret"), name);
        }
        let every = raw.every.as_ref().and_then(|text| self.duration(&path.key("every"), text)).unwrap_or(USUAL);
        if every < Duration::from_secs(1) {
            self.error(&path.key("every"), "it is asked once a second at most", "");
        }
        let given = raw.queries.as_ref()?;
        let path = path.key("queries");
        if given.is_empty() || given.len() > MOST_QUERIES {
            self.error(&path, format!("there are 1 to {MOST_QUERIES} queries"), "");
        }
        let mut queries = BTreeMap::new();
        for (name, raw) in given {
            let path = path.key(name.as_str());
            if !is_plain_name(name) {
                let message = format!("`{}` cannot name a figure", words::cut(name));
                self.error(&path, message, "use 1 to 64 letters, digits, `.`, `_` and `-`");
            }
            let Some(query) = &raw.query else { continue };
            if query.trim().is_empty() || query.len() > LONGEST {
                self.error(&path.key("query"), format!("a query has 1 to {LONGEST} bytes"), "");
            }
            let route_label = raw.route_label.clone().unwrap_or_else(|| "route".to_owned());
            self.name(&path.key("route_label"), &route_label);
            queries.insert(name.clone(), PrometheusQuery { query: query.clone(), route_label });
        }
        Some(PrometheusSettings { url: url?, secret: raw.secret.clone(), every, queries })
    }
}
