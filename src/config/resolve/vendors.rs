//! `vendors:` and `models:`: each entry over the defaults of its kind.

use std::{collections::BTreeMap, net::SocketAddr};

use reqwest::Url;

use super::Resolver;
use crate::{
    config::{
        Access, Capabilities, Settings, Vendor,
        path::Path,
        raw,
        vendor_kind::{self, VendorKind},
        words,
    },
    domain::{TargetId, VendorId, Wire},
};

impl Resolver<'_, '_> {
    pub(super) fn vendors(&mut self, file: &raw::File, listen: SocketAddr) -> BTreeMap<VendorId, Vendor> {
        let mut vendors = BTreeMap::new();
        for (name, raw) in file.vendors.iter().flatten() {
            let path = Path::root().key("vendors").key(name.as_str());
            // The vendor's secret has its name.
            self.secret_name(&path, name);
            if name == VendorId::LOCAL {
                self.error(&path, "`local` is the model inside this process", "give the vendor another name");
            }
            if let Some(vendor) = self.vendor(&path, name, raw, listen) {
                vendors.insert(vendor.id.clone(), vendor);
            }
        }
        vendors
    }

    /// `models:`: prices and capabilities.
    pub(super) fn models(&mut self, file: &raw::File, settings: &mut Settings) {
        for (name, model) in file.models.iter().flatten() {
            let path = Path::root().key("models").key(name.as_str());
            let Some(target) = self.target(&path, name) else { continue };
            if model.context_tokens == Some(0) {
                self.error(&path.key("context_tokens"), "a context has at least 1 token", "");
            }
            if let Some(space) = &model.embedding_space {
                self.name(&path.key("embedding_space"), space);
                settings.embedding_spaces.insert(target.clone(), space.as_str().into());
            }
            let usual = settings.capabilities(&target);
            let said = Capabilities {
                tools: model.tools.unwrap_or(usual.tools),
                json_schema: model.json_schema.unwrap_or(usual.json_schema),
                images: model.images.unwrap_or(usual.images),
                context_tokens: model.context_tokens.or(usual.context_tokens),
                ..usual
            };
            if said != usual {
                settings.capabilities.insert(target.clone(), said);
            }
            if let Some(prices) = self.prices(&path, model) {
                settings.prices.insert(target, prices);
            }
        }
    }

    /// Splits `vendor/model`, and reports a vendor that does not exist.
    pub(super) fn target(&mut self, path: &Path, text: &str) -> Option<TargetId> {
        let Some(target) = TargetId::parse(text).filter(|_| !text.contains(char::is_whitespace)) else {
            self.error(path, format!("`{}` is not a target", words::cut(text)), "write it as `vendor/model`");
            return None;
        };
        let vendor = target.vendor.as_str();
        if target.is_local() || self.vendor_names.iter().any(|name| name == vendor) {
            return Some(target);
        }
        let known: Vec<String> = self.vendor_names.iter().cloned().chain([VendorId::LOCAL.to_owned()]).collect();
        let help = match (words::nearest(vendor, known.iter().map(String::as_str)), VendorKind::find(vendor)) {
            (_, Some(kind)) => format!("add `{0}: {{ kind: {0} }}` under `vendors`", kind.name),
            (Some(name), None) => format!("did you mean `{name}`?"),
            (None, None) => format!("`vendors` has {}", words::one_of(known.iter().map(String::as_str))),
        };
        self.error(path, format!("unknown vendor `{}`", words::cut(vendor)), help);
        None
    }

    fn vendor(&mut self, path: &Path, name: &str, raw: &raw::Vendor, listen: SocketAddr) -> Option<Vendor> {
        let kind = raw.kind.as_ref().and_then(|kind| self.kind(&path.key("kind"), &kind.0));
        let written = raw.base_url.as_ref().map(|text| self.base_url(&path.key("base_url"), text, listen));
        for (key, text) in [("region", &raw.region), ("project", &raw.project), ("operated_by", &raw.operated_by)] {
            if let Some(text) = text {
                self.name(&path.key(key), text);
            }
        }
        if let Some(secret) = &raw.secret {
            self.secret_name(&path.key("secret"), secret);
        }
        let kind = kind?;
        let region = self.region(path, kind, raw)?;
        let base_url = match (written, kind.base_url_in(region)) {
            (Some(url), _) => url?,
            (None, Some(url)) => url,
            // What was written and is faulty has been reported.
            (None, None) if self.tree.has(&path.key("base_url")) => return None,
            (None, None) => {
                self.error(path, format!("`base_url` is missing: kind `{}` has none of its own", kind.name), "");
                return None;
            }
        };
        if raw.base_url.is_none() && points_at(&base_url, listen) {
            let message = format!("{base_url}, the default of kind `{}`, is where Backstop itself listens", kind.name);
            self.error(path, message, "give it a `base_url`, or change `listen`");
        }
        self.api_version(path, kind, raw);
        if raw.project.is_some() && !matches!(kind.access, Access::Vertex | Access::VertexAnthropic) {
            self.error(&path.key("project"), format!("kind `{}` has no projects", kind.name), "leave it out");
        }
        let responses = raw.responses.unwrap_or(kind.responses);
        if responses && kind.wire != Wire::OpenaiChat {
            let message = format!("kind `{}` has no `/responses`", kind.name);
            self.error(&path.key("responses"), message, "leave it out: calls are translated");
        }
        Some(Vendor {
            id: VendorId::new(name),
            kind: kind.name,
            wire: kind.wire,
            access: kind.access,
            // Somebody's own endpoint may do without a secret, unless one is named for it.
            needs_secret: kind.needs_secret
                && (raw.base_url.is_none() || raw.secret.is_some() || kind.base_url.is_none()),
            base_url,
            region: raw.region.clone(),
            project: raw.project.clone(),
            api_version: raw.api_version.clone(),
            operated_by: raw.operated_by.clone(),
            price_factor: self.factor(path, "price_factor", raw.price_factor),
            self_hosted: raw.self_hosted.unwrap_or(kind.self_hosted),
            secret: raw.secret.clone().unwrap_or_else(|| name.to_owned()),
            max_tokens_field: match raw.max_tokens_field {
                Some(raw::MaxTokensField::MaxTokens) => "max_tokens",
                Some(raw::MaxTokensField::MaxCompletionTokens) => "max_completion_tokens",
                None => kind.max_tokens_field,
            },
            stream_usage: raw.stream_usage.unwrap_or(kind.stream_usage),
            responses,
        })
    }

    /// The region that the kind's address is made with; empty where it has none.
    fn region<'r>(&mut self, path: &Path, kind: &VendorKind, raw: &'r raw::Vendor) -> Option<&'r str> {
        let region = raw.region.as_deref();
        if !kind.needs_region() {
            return Some(region.unwrap_or_default());
        }
        let Some(region) = region else {
            let message = format!("`region` is missing: kind `{}` is asked in one", kind.name);
            self.error(path, message, "write one of its regions, say `europe-west4`");
            return None;
        };
        // It becomes part of a host's name.
        let fits = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            let help = "regions have lower-case letters, digits and hyphens";
            self.error(&path.key("region"), format!("`{}` is not a region", words::cut(region)), help);
        }
        fits.then_some(region)
    }

    fn api_version(&mut self, path: &Path, kind: &VendorKind, raw: &raw::Vendor) {
        let Some(version) = &raw.api_version else { return };
        let path = path.key("api_version");
        let bytes = version.strip_suffix("-preview").unwrap_or(version).as_bytes();
        let dated = bytes.len() == 10
            && bytes
                .iter()
                .enumerate()
                .all(|(at, byte)| if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() });
        if kind.access != Access::Azure {
            self.error(&path, format!("kind `{}` has no API version to choose", kind.name), "leave it out");
        } else if !dated {
            let message = format!("`{}` is not a version of the API", words::cut(version));
            self.error(&path, message, "write it as `2024-10-21`, with `-preview` where it is one");
        }
    }

    fn kind(&mut self, path: &Path, name: &str) -> Option<&'static VendorKind> {
        let kind = VendorKind::find(name);
        if kind.is_none() && vendor_kind::WITHOUT_ADAPTER.contains(&name) {
            let help = format!("it speaks to {}", words::one_of(VendorKind::names()));
            self.error(path, format!("this version has no adapter for kind `{name}`"), help);
        } else if kind.is_none() {
            let help = words::meant_or_known(name, VendorKind::names());
            self.error(path, format!("unknown vendor kind `{}`", words::cut(name)), help);
        }
        kind
    }

    fn base_url(&mut self, path: &Path, text: &raw::UrlText, listen: SocketAddr) -> Option<String> {
        let url = self.url(path, text)?;
        for ending in ["/chat/completions", "/messages", "/completions", "/responses", "/embeddings"] {
            if let Some(base) = url.strip_suffix(ending) {
                let message = format!("the path `{ending}` is added by Backstop");
                self.error(path, message, format!("write `{}`", words::cut(base)));
                return None;
            }
        }
        if points_at(&url, listen) {
            self.error(path, "this is where Backstop itself listens", "a vendor is somebody else");
            return None;
        }
        Some(url)
    }
}

/// Whether a call to `url` would come back to the gateway itself.
fn points_at(url: &str, listen: SocketAddr) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    if listen.port() == 0 || url.port_or_known_default() != Some(listen.port()) {
        return false;
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let this_machine = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    let listens_here = listen.ip().is_loopback() || listen.ip().is_unspecified();
    (this_machine && listens_here) || host.parse() == Ok(listen.ip())
}
