//! A config of ours while it is put together, and how it is written as YAML.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

#[derive(Debug, Default, Clone)]
pub(super) struct Draft {
    pub(super) vendors: Vec<Vendor>,
    /// By target.
    pub(super) models: BTreeMap<String, Model>,
    pub(super) routes: Vec<Route>,
}

#[derive(Debug, Clone)]
pub(super) struct Vendor {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) base_url: Option<String>,
    pub(super) operated_by: Option<String>,
}

/// Rates by our own keys, in US dollars per million tokens.
pub(super) type Rates = Vec<(&'static str, f64)>;

#[derive(Debug, Default, Clone)]
pub(super) struct Model {
    pub(super) rates: Rates,
    /// Keys of a price that are no rates of tokens: factors, and what a request costs.
    pub(super) besides: Rates,
    /// By how many tokens of prompt they begin above.
    pub(super) tiers: BTreeMap<u64, Rates>,
    pub(super) context_tokens: Option<u32>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Route {
    pub(super) name: String,
    pub(super) targets: Vec<String>,
    pub(super) first_token: Option<Duration>,
    pub(super) attempt: Option<Duration>,
    pub(super) next_on_context_length: bool,
    pub(super) next_on_content_policy: bool,
}

/// The rates that a model may have without a row of prices.
const FLAT: [&str; 4] = ["input_per_mtok", "output_per_mtok", "cached_input_per_mtok", "cache_write_per_mtok"];

impl Model {
    pub(super) fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let written = |rates: &Rates| rates.iter().map(|(key, usd)| (*key, number(*usd))).collect::<Vec<_>>();
        let flat = self.rates.iter().all(|(key, _)| FLAT.contains(key));
        let mut fields = written(&self.rates);
        if !(flat && self.besides.is_empty() && self.tiers.is_empty()) {
            fields.extend(written(&self.besides));
            if !self.tiers.is_empty() {
                let tier = |(above, rates): (&u64, &Rates)| {
                    map(&[vec![("above_tokens", above.to_string())], written(rates)].concat())
                };
                let tiers: Vec<String> = self.tiers.iter().map(tier).collect();
                fields.push(("tiers", format!("[{}]", tiers.join(", "))));
            }
            fields = vec![("prices", format!("[{}]", map(&fields)))];
        }
        fields.extend(self.context_tokens.map(|tokens| ("context_tokens", tokens.to_string())));
        fields
    }
}

impl Draft {
    pub(super) fn to_yaml(&self) -> String {
        let mut out = String::new();
        section(&mut out, "vendors", self.vendors.iter().map(|vendor| (&vendor.name, vendor_fields(vendor))));
        let models = self.models.iter().filter(|(_, model)| !model.is_empty());
        section(&mut out, "models", models.map(|(target, model)| (target, model.fields())));
        if !self.routes.is_empty() {
            out.push_str("routes:\n");
        }
        for route in &self.routes {
            let _ = writeln!(out, "  {}:", scalar(&route.name));
            let targets: Vec<String> = route.targets.iter().map(|target| scalar(target)).collect();
            let _ = writeln!(out, "    targets: [{}]", targets.join(", "));
            let span = |key, span: Option<Duration>| span.map(|span| format!("{key}: {}ms", span.as_millis()));
            let deadlines: Vec<String> = [span("first_token", route.first_token), span("attempt", route.attempt)]
                .into_iter()
                .flatten()
                .collect();
            if !deadlines.is_empty() {
                let _ = writeln!(out, "    deadlines: {{ {} }}", deadlines.join(", "));
            }
            if route.next_on_context_length {
                out.push_str("    on_context_length: next\n");
            }
            if route.next_on_content_policy {
                out.push_str("    on_content_policy: next\n");
            }
        }
        out
    }
}

fn vendor_fields(vendor: &Vendor) -> Vec<(&'static str, String)> {
    let mut fields = vec![("kind", scalar(vendor.kind))];
    fields.extend(vendor.base_url.iter().map(|url| ("base_url", quoted(url))));
    fields.extend(vendor.operated_by.iter().map(|name| ("operated_by", scalar(name))));
    fields
}

/// A map of one-line maps; nothing when it is empty.
fn section<'a>(out: &mut String, name: &str, entries: impl Iterator<Item = (&'a String, Vec<(&'static str, String)>)>) {
    let mut entries = entries.peekable();
    if entries.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "{name}:");
    for (key, fields) in entries {
        let _ = writeln!(out, "  {}: {}", scalar(key), map(&fields));
    }
}

/// A map on one line.
fn map(fields: &[(&'static str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// A text as YAML: plain where every reader takes it for a text, else in double quotes as JSON has them.
fn scalar(text: &str) -> String {
    const READ_AS_SOMETHING_ELSE: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
    if begins && plain && !READ_AS_SOMETHING_ELSE.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whole micro-dollars, without the noise of a division.
fn number(usd: f64) -> String {
    let text = format!("{usd:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() { "0".to_owned() } else { short.to_owned() }
}
