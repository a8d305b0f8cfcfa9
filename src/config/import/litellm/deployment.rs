//! One entry of `model_list`: which vendor, which model, which secret, at which price.

use std::path::Path as FilePath;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Importer, price, provider::Provider};
use crate::config::{
    import::{
        SecretSource,
        draft::{Draft, Model, Route, Vendor},
    },
    load,
    path::Path,
    secret_scan,
    tree::{Node, Value},
    vendor_kind::VendorKind,
    words,
};

/// A vendor that a deployment made, and what makes it the same as another's.
pub(super) struct Known {
    pub(super) name: String,
    kind: &'static str,
    base_url: Option<String>,
    pub(super) credential: Option<SecretSource>,
}

/// What `litellm_params` says that we carry, besides prices.
const PARAMS: [&str; 6] = ["model", "api_key", "api_base", "base_url", "custom_llm_provider", "mode"];

impl Importer<'_> {
    pub(super) fn deployments(&mut self, tree: &Node) {
        for (index, item) in tree.get("model_list").map(Node::items).unwrap_or_default().iter().enumerate() {
            let path = Path::root().key("model_list").index(index);
            if let Err(why) = self.deployment(item, &path) {
                self.note(item, &path, format!("left out: {why}"));
            }
        }
    }

    /// Adds one deployment to the draft, or says why not.
    fn deployment(&mut self, item: &Node, path: &Path) -> Result<(), String> {
        let name = item.text("model_name").ok_or("it has no `model_name`")?;
        let params = item.get("litellm_params").ok_or("it has no `litellm_params`")?;
        let model = params.text("model").ok_or("it has no `litellm_params.model`")?;
        let info = item.get("model_info");
        for entry in params.entries().iter().filter(|entry| PARAMS.contains(&entry.key.as_str())) {
            if !matches!(entry.value.value, Value::Text(_) | Value::Null) {
                return Err(format!("its `{}` is not a text", entry.key));
            }
        }
        if let Some(mode) = info.and_then(|info| info.text("mode")).or(params.text("mode"))
            && !["chat", "completion", "responses"].contains(&mode)
        {
            return Err(format!("this version serves chat, not `{}`", words::cut(mode)));
        }
        if name.contains('*') || model.contains('*') {
            return Err("this version has no wildcard routes; name each model".to_owned());
        }
        let (provider, model) = provider_of(params, model)?;
        let base_url = base_url_of(params, provider)?;
        let kind = match (provider.kind, &base_url) {
            ("openai", Some(_)) => "openai_compatible",
            (kind, _) => kind,
        };
        let credential = credential_of(params, provider, base_url.as_deref());
        let vendor = self.vendor(kind, base_url, credential);
        let target = format!("{}/{model}", vendor.name);
        let prices = price::of(params, info);
        fits(&vendor, &target, name, &prices)?;

        if !self.draft.vendors.iter().any(|known| known.name == vendor.name) {
            self.draft.vendors.push(vendor);
        }
        if !prices.is_empty() {
            self.draft.models.entry(target.clone()).or_insert(prices);
        }
        self.add_target(name, target, item, path);
        self.not_carried(params, &path.key("litellm_params"), &[&PARAMS[..], &price::keys()].concat());
        if let Some(info) = info {
            self.not_carried(info, &path.key("model_info"), &[&["mode", "id"], &price::keys()[..]].concat());
        }
        self.not_carried(item, path, &["model_name", "litellm_params", "model_info"]);
        Ok(())
    }

    fn add_target(&mut self, name: &str, target: String, item: &Node, path: &Path) {
        let place = self.draft.routes.iter().position(|route| route.name == name).unwrap_or_else(|| {
            self.draft.routes.push(Route { name: name.to_owned(), ..Route::default() });
            self.draft.routes.len() - 1
        });
        let targets = &mut self.draft.routes[place].targets;
        if targets.contains(&target) {
            self.note(item, path, "left out: a deployment before it is the same model of the same vendor");
        } else {
            targets.push(target);
        }
    }

    /// The vendor with this kind, place and secret: the one that is known, or a new one with a name of its own.
    fn vendor(&mut self, kind: &'static str, base_url: Option<String>, credential: Option<SecretSource>) -> Vendor {
        let same = |known: &Known| {
            known.kind == kind
                && known.base_url == base_url
                && same_secret(known.credential.as_ref(), credential.as_ref())
        };
        let place = self.vendors.iter().position(same).unwrap_or_else(|| {
            let taken = |name: &String| self.vendors.iter().any(|known| known.name == *name);
            let plain = kind.replace('_', "-");
            let numbered = (2..).map(|number| format!("{plain}-{number}"));
            let name = std::iter::once(plain.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
            self.vendors.push(Known { name, kind, base_url, credential });
            self.vendors.len() - 1
        });
        let known = &self.vendors[place];
        // Another account with the same company does not make it another company.
        let first = self.vendors.iter().find(|other| other.kind == kind && other.base_url == known.base_url);
        let operated_by = first.map(|first| first.name.clone()).filter(|first| *first != known.name);
        Vendor { name: known.name.clone(), kind, base_url: known.base_url.clone(), operated_by }
    }
}

fn provider_of<'m>(params: &Node, model: &'m str) -> Result<(&'static Provider, &'m str), String> {
    if secret_scan::find(model).is_some() || model.starts_with("os.environ/") {
        return Err("its model is not a name".to_owned());
    }
    let (name, rest) = match (params.text("custom_llm_provider"), model.split_once('/')) {
        (Some(name), split) => (name, split.filter(|(prefix, _)| *prefix == name).map_or(model, |(_, rest)| rest)),
        (None, Some((prefix, rest))) => (prefix, rest),
        (None, None) => {
            let guess = Provider::guess(model).map(|provider| (provider, model));
            return guess.ok_or_else(|| {
                format!("the provider of `{}` is not clear; write it before a slash", words::cut(model))
            });
        }
    };
    let known = Provider::find(name).map(|provider| (provider, rest));
    known.ok_or_else(|| format!("this version has no adapter for provider `{}`", words::cut(name)))
}

/// Where the vendor is, if not at its own default.
fn base_url_of(params: &Node, provider: &Provider) -> Result<Option<String>, String> {
    let Some(written) = params.text("api_base").or(params.text("base_url")) else {
        return Ok(None);
    };
    if written.starts_with("os.environ/") {
        return Err("its `api_base` is read from the environment; write the URL".to_owned());
    }
    let url = written.trim_end_matches('/');
    let url = ["/chat/completions", "/messages"].iter().find_map(|end| url.strip_suffix(end)).unwrap_or(url);
    let url = match provider.version_path {
        "" => url.to_owned(),
        version if url.ends_with(version) => url.to_owned(),
        version => format!("{url}{version}"),
    };
    let default = VendorKind::find(provider.kind).and_then(|kind| kind.base_url);
    Ok(Some(url).filter(|url| default != Some(url)))
}

/// LiteLLM sends its provider's usual key to the provider's own endpoint only when the config gives none.
fn credential_of(params: &Node, provider: &Provider, base_url: Option<&str>) -> Option<SecretSource> {
    const NONE: [&str; 6] = ["", "none", "null", "dummy", "fake-key", "anything"];
    match params.text("api_key") {
        Some(key) if NONE.contains(&key.to_lowercase().as_str()) => None,
        Some(key) => Some(match (key.strip_prefix("os.environ/"), key.split_once('/')) {
            (Some(variable), _) => SecretSource::Environment(variable.to_owned()),
            (None, Some((scheme @ ("oidc" | "hashicorp_vault" | "aws_kms"), _))) => {
                SecretSource::Elsewhere(scheme.to_owned())
            }
            _ => SecretSource::Written(SecretString::from(key)),
        }),
        None if provider.variable.is_empty() || base_url.is_some() => None,
        None => Some(SecretSource::Environment(provider.variable.to_owned())),
    }
}

fn same_secret(one: Option<&SecretSource>, other: Option<&SecretSource>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(SecretSource::Written(one)), Some(SecretSource::Written(other))) => {
            one.expose_secret() == other.expose_secret()
        }
        (Some(SecretSource::Environment(one)), Some(SecretSource::Environment(other)))
        | (Some(SecretSource::Elsewhere(one)), Some(SecretSource::Elsewhere(other))) => one == other,
        _ => false,
    }
}

/// Whether our own loader takes it: what it would refuse is not put into the draft.
fn fits(vendor: &Vendor, target: &str, route: &str, model: &Model) -> Result<(), String> {
    let piece = Draft {
        vendors: vec![Vendor { operated_by: None, ..vendor.clone() }],
        models: [(target.to_owned(), model.clone())].into(),
        routes: vec![Route { name: route.to_owned(), targets: vec![target.to_owned()], ..Route::default() }],
    };
    match load(&piece.to_yaml(), FilePath::new("")) {
        Ok(_) => Ok(()),
        Err(findings) => {
            let reasons: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
            Err(reasons.join("; "))
        }
    }
}
