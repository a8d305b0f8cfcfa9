//! Gemini's way of access: `x-goog-api-key`, the model and what it is to do in the path.

use reqwest::header::{HeaderMap, HeaderName};
use secrecy::ExposeSecret as _;

use super::request::{Asking, Prepared, credential, segment};
use crate::domain::{Fault, Task};

pub(super) fn prepare(asking: Asking<'_>) -> Result<Prepared, Fault> {
    let Asking { vendor, model, task, secret, .. } = asking;
    // A tuned model is written with its collection, `tunedModels/…`.
    let (collection, model) = model.split_once('/').unwrap_or(("models", model));
    let url = format!("{}/{}/{}:{}", vendor.base_url, segment(collection), segment(model), method(task));
    let mut headers = HeaderMap::with_capacity(2);
    if let Some(secret) = secret {
        headers.insert(HeaderName::from_static("x-goog-api-key"), credential(secret.expose_secret())?);
    }
    Ok(Prepared { url, headers })
}

/// Google's name for the task.
pub(super) fn method(task: Task) -> &'static str {
    match task {
        Task::Answer => "generateContent",
        Task::Stream => "streamGenerateContent?alt=sse",
        Task::CountTokens => "countTokens",
        Task::Embed => "batchEmbedContents",
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use secrecy::SecretString;

    use super::*;
    use crate::config::load;

    #[test]
    fn the_model_and_the_method_stand_in_the_path() {
        let loaded = load("vendors: { g: { kind: gemini } }", std::path::Path::new("test.yaml")).expect("it loads");
        let vendor = loaded.settings.vendors.values().next().expect("there is one");
        let client = crate::vendor::Clients::for_tests();
        let (secret, forwarded, body) = (SecretString::from("AIza-test"), HeaderMap::new(), Bytes::new());
        let url = |model: &str, task| {
            let asking = Asking {
                vendor,
                client: &client,
                model,
                task,
                wire: vendor.wire,
                secret: Some(&secret),
                forwarded: &forwarded,
                body: &body,
            };
            let Prepared { url, headers } = prepare(asking).expect("it can be asked");
            assert_eq!(headers["x-goog-api-key"], "AIza-test");
            assert!(headers["x-goog-api-key"].is_sensitive());
            url.strip_prefix("https://generativelanguage.googleapis.com/v1beta/").expect("the base").to_owned()
        };
        assert_eq!(url("gemini-2.5-flash", Task::Answer), "models/gemini-2.5-flash:generateContent");
        assert_eq!(url("gemini-2.5-flash", Task::Stream), "models/gemini-2.5-flash:streamGenerateContent?alt=sse");
        assert_eq!(url("gemini-2.5-flash", Task::CountTokens), "models/gemini-2.5-flash:countTokens");
        assert_eq!(url("gemini-embedding-001", Task::Embed), "models/gemini-embedding-001:batchEmbedContents");
        assert_eq!(url("tunedModels/a b", Task::Answer), "tunedModels/a%20b:generateContent");
        assert_eq!(url("a/../../x?y", Task::Answer), "a/..%2F..%2Fx%3Fy:generateContent");
    }
}
