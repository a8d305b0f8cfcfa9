//! LiteLLM's proxy config (`model_list`, `router_settings`, `litellm_settings`) turned into ours.
//!
//! Several deployments of one `model_name` become the targets of one route, in order, and its fallbacks follow them.
//! Form of the file: docs.litellm.ai/docs/proxy/configs, /docs/proxy/reliability (2026-10).

mod deployment;
mod ladder;
mod price;
mod provider;

use std::path::Path as FilePath;

use super::{Imported, NeededSecret, draft::Draft};
use crate::config::{
    Finding, Severity,
    finding::Findings,
    load,
    path::Path,
    tree::{self, Node, Value},
    words,
};

/// Reads a LiteLLM proxy config; `origin` is the name that notes give to the file.
///
/// # Errors
/// When it is not YAML, or nothing of it can be carried: every reason.
pub fn read(text: &str, origin: &FilePath) -> Result<Imported, Vec<Finding>> {
    let file = origin.to_string_lossy();
    let mut importer = Importer { notes: Findings::new(&file), draft: Draft::default(), vendors: Vec::new() };
    let tree = match tree::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            let message = format!("this is not YAML that can be read: {}", error.message);
            importer.notes.add(Severity::Error, error.place, &Path::root(), (&message, ""));
            return Err(importer.notes.into_sorted());
        }
    };
    importer.deployments(&tree);
    importer.ladders(&tree);
    importer.the_rest(&tree);
    if importer.draft.routes.is_empty() {
        let message = "nothing of this file can be carried: it has no deployment that this version could serve";
        importer.notes.add(Severity::Error, None, &Path::root(), (message, ""));
        return Err(importer.notes.into_sorted());
    }
    let yaml = format!("{}{}", header(&file), importer.draft.to_yaml());
    // Each piece was tried by itself; a fault of the whole would be ours, and is not handed on as a config.
    load(&yaml, FilePath::new("the imported config"))?;
    let carried = |known: &deployment::Known| importer.draft.vendors.iter().any(|vendor| vendor.name == known.name);
    let known = importer.vendors.into_iter().filter(carried);
    let secrets = known.filter_map(deployment::Known::into_secret).collect();
    Ok(Imported { yaml, notes: importer.notes.into_sorted(), secrets })
}

/// What one import gathers.
struct Importer<'a> {
    notes: Findings<'a>,
    draft: Draft,
    vendors: Vec<deployment::Known>,
}

impl Importer<'_> {
    fn note(&mut self, node: &Node, path: &Path, message: impl AsRef<str>) {
        self.notes.add(Severity::Note, Some(node.place), path, (message.as_ref(), ""));
    }

    /// Says every key of `node` that is not in `carried`.
    fn not_carried(&mut self, node: &Node, path: &Path, carried: &[&str]) {
        let Value::Map(entries) = &node.value else { return };
        for entry in entries.iter().filter(|entry| !carried.contains(&entry.key.as_str())) {
            let message = match entry.key.as_str() {
                "rpm" | "tpm" | "max_parallel_requests" => "not carried: limits are per tenant here, under `tenants`",
                "master_key" => "not carried: clients get keys of their own, from `backstop keys issue`",
                "database_url" => "not carried: state is kept in SQLite, in the state directory",
                "environment_variables" => "not carried: nothing secret is read from the environment here",
                "num_retries" | "max_retries" => "not carried: the next target is tried instead",
                "routing_strategy" | "weight" | "order" => "not carried: targets are tried in their order",
                _ => "not carried",
            };
            self.notes.add(Severity::Note, Some(entry.key_place), &path.key(entry.key.as_str()), (message, ""));
        }
    }

    /// The sections and keys that nothing else looked at.
    fn the_rest(&mut self, tree: &Node) {
        const LADDERS: [&str; 4] =
            ["fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"];
        let root = Path::root();
        let sections: [(&str, &[&str]); 3] = [
            ("router_settings", &["model_group_alias", "timeout", "stream_timeout"]),
            ("litellm_settings", &["request_timeout"]),
            ("general_settings", &[]),
        ];
        for (section, carried) in sections {
            if let Some(node) = tree.get(section) {
                let ladders: &[&str] = if section == "general_settings" { &[] } else { &LADDERS };
                self.not_carried(node, &root.key(section), &[carried, ladders].concat());
            }
        }
        self.not_carried(tree, &root, &["model_list", "router_settings", "litellm_settings", "general_settings"]);
    }
}

fn header(file: &str) -> String {
    format!(
        "# Made by `backstop import litellm` from {}. `backstop check` says what is left to do.\n",
        words::cut(file)
    )
}

/// Small readings of the other file; what has another form than expected reads as absent.
impl Node {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number, also where it is written in quotes.
    fn as_number(&self) -> Option<f64> {
        match &self.value {
            Value::Whole(number) => Some(*number as f64),
            Value::Real(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
    }

    fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    fn entries(&self) -> &[tree::Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }
}

impl deployment::Known {
    fn into_secret(self) -> Option<NeededSecret> {
        Some(NeededSecret { source: self.credential?, name: self.name })
    }
}
