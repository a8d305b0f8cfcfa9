//! Turns the file as it is written into [`Settings`]: meaning is worked out here, and every fault of meaning is reported.
//!
//! A fault never stops the others from being found. What is built beside an error is thrown away by the caller.

mod alerts;
mod audit;
mod drill;
mod eval;
mod health;
mod incidents;
mod oidc;
mod prices;
mod prometheus;
mod release;
mod routes;
mod rules;
mod sections;
mod tenants;
mod texts;
mod tokenizers;
mod vendors;

use super::{
    Enforcement, Settings, Severity, finding::Findings, invariants, notes, path::Path, prices as known_prices, raw,
    secret_scan, shape, share_cap, tree, words,
};

/// Reads a whole file. The settings are to be used only when `findings` has no error.
pub(super) fn read(text: &str, findings: &mut Findings<'_>) -> Settings {
    let mut tree = match tree::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            let help = if error.message.contains("tab") { "indent with spaces" } else { "" };
            let message = format!("this is not YAML that can be read: {}", error.message);
            findings.add(Severity::Error, error.place, &Path::root(), (&message, help));
            return Settings::default();
        }
    };
    let vendor_names = keys(tree.get("vendors"));
    secret_scan::refuse(&mut tree, &Path::root(), findings);
    shape::check(&mut tree, super::schema::shape(), findings);
    let file: raw::File = match serde_json::from_value(tree.to_json()) {
        Ok(file) => file,
        Err(error) => {
            findings.add(Severity::Error, None, &Path::root(), (&format!("the file cannot be read: {error}"), ""));
            return Settings::default();
        }
    };
    Resolver { tree: &tree, vendor_names, findings }.settings(&file)
}

/// What every section needs while it is worked out.
struct Resolver<'r, 'f> {
    tree: &'r tree::Node,
    /// Every key under `vendors`, faulty entries included, so that a fault there is not told again by each route.
    vendor_names: Vec<String>,
    findings: &'r mut Findings<'f>,
}

impl Resolver<'_, '_> {
    fn settings(mut self, file: &raw::File) -> Settings {
        let mut settings = Settings::default();
        if let Some(listen) = file.listen.as_ref().and_then(|text| self.socket(&Path::root().key("listen"), text)) {
            settings.listen = listen;
        }
        settings.enforcement = match file.enforcement {
            Some(raw::Enforcement::Warn) => Enforcement::Warn,
            Some(raw::Enforcement::Strict) | None => Enforcement::Strict,
        };
        self.sections(file, &mut settings);
        settings.vendors = self.vendors(file, settings.listen);
        settings.routes = self.routes(file);
        settings.route_order = keys(self.tree.get("routes")).into_iter().map(crate::domain::RouteId::new).collect();
        settings.tenants = self.tenants(file);
        settings.breaker = self.breaker(file.breaker.as_ref());
        settings.latency = self.latency(file.latency.as_ref());
        settings.share_cap = self.share_cap(file.share_cap.as_ref());
        settings.alerts = self.alerts(file);
        settings.incidents = self.incidents(file);
        settings.rules = self.rules(file);
        settings.prometheus = self.prometheus(file.prometheus.as_ref());
        settings.audit = self.audit(file.audit.as_ref());
        settings.release = self.release(file.release.as_ref());
        settings.drill = self.drill(file.drill.as_ref());
        self.models(file, &mut settings);
        settings.tokenizers = self.tokenizers(file, &settings);
        settings.locate_targets();
        known_prices::fill_in(&mut settings);
        if file.share_cap.is_none() {
            share_cap::lift_where_unsaid(&mut settings);
        }
        // What is half read would break invariants that the whole file keeps.
        if !self.findings.has_error() {
            let mut say = |severity, path: Path, words: (&str, &str)| {
                self.findings.add(severity, Some(self.tree.place_of(&path)), &path, words);
            };
            invariants::check(&settings, &mut |path, words| say(Severity::Breach, path, words));
            notes::give(&settings, file, &mut |path, words| say(Severity::Note, path, words));
        }
        invariants::mark(&mut settings);
        settings
    }

    fn error(&mut self, path: &Path, message: impl AsRef<str>, help: impl AsRef<str>) {
        let place = self.tree.place_of(path);
        self.findings.add(Severity::Error, Some(place), path, (message.as_ref(), help.as_ref()));
    }

    /// A name that the vault takes; a vendor's name is one too.
    fn secret_name(&mut self, path: &Path, name: &str) {
        if !is_secret_name(name) {
            let help = "use letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit";
            self.error(path, format!("`{}` cannot name a secret", words::cut(name)), help);
        }
    }

    /// A name that people and scripts will type: not empty, not long, no blanks.
    fn name(&mut self, path: &Path, name: &str) {
        if name.is_empty() || name.len() > 128 || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.error(path, "a name has 1 to 128 characters and no blanks", "");
        }
    }
}

/// The name of a secret, as the vault takes it.
fn is_secret_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    starts && name.len() <= 64 && name.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
}

fn keys(node: Option<&tree::Node>) -> Vec<String> {
    match node.map(|node| &node.value) {
        Some(tree::Value::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    }
}
