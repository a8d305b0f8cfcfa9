//! Azure OpenAI's way of access: `api-key`, and a deployment where others have a model.
//!
//! A base URL that ends in `/openai/v1` is Azure's v1 API, which takes the deployment in the body as OpenAI takes a model.
//! Any other is a resource's endpoint: the deployment stands in the path, and the API's dated version in the query.

use reqwest::header::{HeaderMap, HeaderName};
use secrecy::ExposeSecret as _;

use super::request::{Asking, Prepared, credential, lacks, segment};
use crate::domain::{Fault, Task, Wire};

/// The newest dated version that is generally available; what came after it is the v1 API.
/// <https://learn.microsoft.com/azure/ai-services/openai/reference>
const API_VERSION: &str = "2024-10-21";
/// The newest dated version; only such previews have responses.
const RESPONSES_API_VERSION: &str = "2025-04-01-preview";

pub(super) fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let Asking { vendor, model, task, wire, secret, .. } = asking;
    let by_deployment = || format!("deployments/{}/", segment(model));
    // Responses name the deployment in the body in either API.
    let (path, deployment, newest) = match (task, wire) {
        (Task::Answer | Task::Stream, Wire::OpenaiResponses) => ("responses", String::new(), RESPONSES_API_VERSION),
        (Task::Answer | Task::Stream, Wire::OpenaiCompletions) => ("completions", by_deployment(), API_VERSION),
        (Task::Answer | Task::Stream, _) => ("chat/completions", by_deployment(), API_VERSION),
        (Task::Embed, _) => ("embeddings", by_deployment(), API_VERSION),
        (Task::CountTokens, _) => return Err(lacks(asking)),
    };
    let base = &vendor.base_url;
    let url = if base.ends_with("/openai/v1") {
        format!("{base}/{path}")
    } else {
        let version = vendor.api_version.as_deref().unwrap_or(newest);
        let base = base.strip_suffix("/openai").unwrap_or(base);
        format!("{base}/openai/{deployment}{path}?api-version={version}")
    };
    let mut headers = HeaderMap::with_capacity(2);
    if let Some(secret) = secret {
        headers.insert(HeaderName::from_static("api-key"), credential(secret.expose_secret())?);
    }
    Ok(Prepared { url, headers })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use secrecy::SecretString;

    use super::*;
    use crate::config::{Vendor, load};

    fn vendor(more: &str) -> Vendor {
        let text = format!("vendors: {{ a: {{ kind: azure_openai, {more} }} }}");
        let loaded = load(&text, std::path::Path::new("test.yaml")).unwrap_or_else(|findings| panic!("{findings:?}"));
        loaded.settings.vendors.into_values().next().expect("there is one")
    }

    fn prepared(vendor: &Vendor, model: &str) -> Prepared {
        prepared_in(Wire::OpenaiChat, vendor, model)
    }

    fn prepared_in(wire: Wire, vendor: &Vendor, model: &str) -> Prepared {
        let client = crate::vendor::Clients::for_tests();
        let (secret, forwarded, body) = (SecretString::from("k"), HeaderMap::new(), Bytes::new());
        let asking = Asking {
            vendor,
            client: &client,
            model,
            wire,
            task: Task::Stream,
            secret: Some(&secret),
            forwarded: &forwarded,
            body: &body,
        };
        prepare(asking).expect("it can be asked")
    }

    #[test]
    fn a_resource_is_asked_by_deployment_and_the_v1_api_by_model() {
        let resource = vendor("base_url: \"https://r.openai.azure.com/\"");
        let asked = prepared(&resource, "gpt 4o/ü");
        assert_eq!(
            asked.url,
            "https://r.openai.azure.com/openai/deployments/gpt%204o%2F%C3%BC/chat/completions?api-version=2024-10-21"
        );
        assert_eq!(asked.headers["api-key"], "k");
        assert!(asked.headers["api-key"].is_sensitive() && !asked.headers.contains_key("authorization"));
        assert!(resource.needs_secret);
        let dated = vendor("base_url: \"https://r.openai.azure.com/openai\", api_version: 2025-04-01-preview");
        let url = prepared(&dated, "..").url;
        assert_eq!(
            url,
            "https://r.openai.azure.com/openai/deployments/__/chat/completions?api-version=2025-04-01-preview"
        );
        let v1 = vendor("base_url: \"https://r.openai.azure.com/openai/v1\"");
        assert_eq!(prepared(&v1, "gpt-4o").url, "https://r.openai.azure.com/openai/v1/chat/completions");
        let responses = |vendor: &Vendor| prepared_in(Wire::OpenaiResponses, vendor, "gpt-4o").url;
        assert_eq!(responses(&v1), "https://r.openai.azure.com/openai/v1/responses");
        let dated = "https://r.openai.azure.com/openai/responses?api-version=2025-04-01-preview";
        assert_eq!(responses(&resource), dated);
    }
}
