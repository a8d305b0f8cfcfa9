//! A target that is a URL: a server that no config names, asked as an OpenAI-compatible vendor.

use std::path::Path;

use anyhow::{anyhow, bail};
use backstop_eval::{run::USUAL_CONCURRENCY, suite::SuiteId};

use crate::{
    config,
    domain::TargetId,
    release::{
        VendorSubject,
        evaluation::{Evaluation, Examined, is_url},
    },
};

/// The id that an ad-hoc vendor has in the config that is made for it.
const BY_URL: &str = "url";

/// What else is said of a target that is a URL.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByUrl<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) secret: Option<&'a str>,
}

/// As [`Evaluation::examined`], by URL too.
pub(super) async fn examined(
    evaluation: &Evaluation,
    suite: &SuiteId,
    target: &str,
    by_url: ByUrl<'_>,
) -> anyhow::Result<Examined> {
    if is_url(target) {
        return at_url(evaluation, target, by_url).await;
    }
    Ok(evaluation.examined(suite, target).await?)
}

async fn at_url(evaluation: &Evaluation, url: &str, by_url: ByUrl<'_>) -> anyhow::Result<Examined> {
    let Some(model) = by_url.model else { bail!("a --target that is a URL needs --model, the model's name there") };
    let mut entry = serde_json::json!({ "kind": "openai_compatible", "base_url": url });
    if let Some(secret) = by_url.secret {
        entry["secret"] = secret.into();
    }
    let text = serde_json::json!({ "vendors": { BY_URL: entry } }).to_string();
    let loaded = config::load(&text, Path::new("--target")).map_err(|findings| {
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        anyhow!("{url} cannot be asked:\n{}", said.join("\n"))
    })?;
    let target = TargetId::try_from(format!("{BY_URL}/{model}")).map_err(|what| anyhow!(what))?;
    let subject = evaluation.vendor(&loaded.settings, &target).await?;
    let subject = VendorSubject { name: format!("{url}#{model}"), ..subject };
    Ok(Examined { subject: Box::new(subject), binding: None, concurrency: USUAL_CONCURRENCY })
}
