//! Model cards and release notes: what customers are told, generated from certificate, evaluation and price data.
//!
//! Each is a Markdown and a JSON file of one name; a new certificate or release gives a new name, and what was told is never rewritten. A
//! card's Markdown begins with Hugging Face's metadata (<https://huggingface.co/docs/hub/model-cards>), of which its JSON has the field
//! names too.

use backstop_eval::certificate::{Certificate, RunsOn};
use backstop_models::catalog::Catalog;
use serde_json::{Value, json};

use super::{
    book::{Line, Release},
    change::{Change, terms},
};
use crate::{
    config::Settings,
    domain::{RouteId, TargetId},
};

/// [`Paper::kind`] of release notes.
pub const NOTES: &str = "release_notes";

/// One document in both forms.
#[derive(Debug, Clone, PartialEq)]
pub struct Paper {
    /// Of both files, without their endings.
    pub name: String,
    /// [`NOTES`] or `model_card`.
    pub kind: &'static str,
    pub markdown: String,
    pub json: Value,
}

/// The suite that `target` is held to: of the first route that has it, else of the first route.
pub fn suite_of(settings: &Settings, target: &TargetId) -> String {
    let has = |route: &&crate::config::Route| route.every_target().any(|one| one.id == *target);
    let route = settings.routes.values().find(has).or_else(|| settings.routes.values().next());
    route.map_or_else(|| crate::config::DEFAULT_SUITE.to_owned(), |route| route.suite.clone())
}

/// What the notes of a release are called.
pub fn notes_name(route: &RouteId, number: u32) -> String {
    format!("notes-{}-{number}", plain(route.as_str()))
}

/// What a promotion of `release` in the place of `old` means for whoever calls `route`.
pub fn notes(route: &RouteId, release: &Release, old: &Release, change: &Change) -> Paper {
    let word = if change.material { "Behaviour changes." } else { "Behaviour does not change materially." };
    let mut markdown = format!("# {route}, release {}\n\n{word}\n\n", release.number);
    if let Some(reason) = &release.reason {
        markdown.push_str(&format!("Why: {reason}\n\n"));
    }
    let list = |release: &Release| release.targets.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    markdown.push_str(&format!("- Targets: {}\n- Before (release {}): {}\n", list(release), old.number, list(old)));
    if !change.reasons.is_empty() {
        markdown.push_str("\n## What changes\n\n");
        change.reasons.iter().for_each(|reason| markdown.push_str(&format!("- {reason}\n")));
    }
    if !change.gates.is_empty() {
        markdown.push_str(&format!(
            "\n## Evaluation (`{}`)\n\n| gate | before | now | difference |\n|---|---|---|---|\n",
            change.suite
        ));
        for gate in &change.gates {
            markdown.push_str(&format!(
                "| {} | {} of {} | {} of {} | {:+.1} % |\n",
                gate.gate,
                gate.old_passed,
                gate.items,
                gate.new_passed,
                gate.items,
                gate.difference * 100.0
            ));
        }
    }
    let json = json!({
        "route": route, "release": release.number, "replaces": old.number, "targets": release.targets,
        "targets_before": old.targets, "reason": release.reason, "change": change,
    });
    Paper { name: notes_name(route, release.number), kind: NOTES, markdown, json }
}

/// What is known of `target`. `certificate`: the one for the route's suite, where it has one.
pub fn card(
    settings: &Settings,
    catalog: Option<&Catalog>,
    target: &TargetId,
    certificate: Option<&Certificate>,
) -> Paper {
    let (input, output, context) = terms(settings, target);
    let manifest = catalog.filter(|_| target.is_local()).and_then(|catalog| catalog.get(&target.model).ok());
    let license = manifest.map_or_else(|| "other".to_owned(), |manifest| manifest.license.to_string().to_lowercase());
    let certified = certificate.map(|certificate| (certificate.digest(), certificate.predicate()));
    let metrics: Vec<Value> = certified
        .iter()
        .flat_map(|(_, predicate)| &predicate.gates)
        .map(|gate| json!({ "type": gate.id, "value": gate.estimate, "name": gate.id, "threshold": gate.threshold, "bound": gate.bound }))
        .collect();
    let results = certified.as_ref().map(|(_, predicate)| {
        json!([{
            "task": { "type": "text-generation" },
            "dataset": { "name": predicate.suite.name, "type": "private", "revision": predicate.suite.digest },
            "metrics": metrics,
        }])
    });
    let runs_on = certified.as_ref().map(|(_, predicate)| match &predicate.runs_on {
        RunsOn::Local { engine, quantization, .. } => format!("own hardware ({engine}, {quantization})"),
        RunsOn::Vendor { kind, answered_as, .. } => format!("{kind}, answering as {}", answered_as.join(", ")),
    });
    let json = json!({
        "model_name": target.to_string(), "license": license, "pipeline_tag": "text-generation",
        "library_name": "backstop", "tags": ["backstop"],
        "model-index": [{ "name": target.to_string(), "results": results.clone().unwrap_or_else(|| json!([])) }],
        "backstop": {
            "operator": settings.operator(target), "context_tokens": context,
            "input_usd_per_mtok": input, "output_usd_per_mtok": output, "runs_on": runs_on,
            "certificate_sha256": certified.as_ref().map(|(digest, _)| *digest),
            "certified_until": certified.as_ref().map(|(_, predicate)| predicate.expires_at.to_string()),
            "use_cases": certified.as_ref().map(|(_, predicate)| &predicate.scope.use_cases),
            "tiers": certified.as_ref().map(|(_, predicate)| &predicate.scope.tiers),
        },
    });
    let mut markdown = format!(
        "---\nmodel_name: {target}\nlicense: {license}\npipeline_tag: text-generation\nlibrary_name: backstop\ntags: [backstop]\n---\n\n# {target}\n\n\
         - Runs on: {}\n- Context: {}\n- Price: ${input:.2} in, ${output:.2} out per million tokens\n",
        runs_on.as_deref().unwrap_or_else(|| settings.operator(target)),
        context.map_or_else(|| "not known".to_owned(), |tokens| format!("{tokens} tokens")),
    );
    match &certified {
        None => markdown.push_str("\nIt has no certificate.\n"),
        Some((digest, predicate)) => {
            markdown.push_str(&format!(
                "\n## Evaluation\n\nCertified for `{}` {} until {} (certificate {}).\n\n| gate | passed | at least | wanted |\n|---|---|---|---|\n",
                predicate.suite.name,
                predicate.suite.version,
                predicate.expires_at.date(),
                &digest[..12.min(digest.len())]
            ));
            for gate in &predicate.gates {
                markdown.push_str(&format!(
                    "| {} | {:.1} % of {} | {:.1} % | {:.1} % |\n",
                    gate.id,
                    gate.estimate * 100.0,
                    gate.n,
                    gate.bound * 100.0,
                    gate.threshold * 100.0
                ));
            }
        }
    }
    let version = certified.map_or("uncertified", |(digest, _)| &digest[..12.min(digest.len())]);
    let name = format!("card-{}-{version}", plain(&target.to_string()));
    Paper { name, kind: "model_card", markdown, json }
}

/// What is told when `line` moves from `old` to `new`: the notes, and a card of the new primary. Blocks on files.
pub fn of_promotion(
    settings: &Settings,
    (state, gate): (&crate::config::StateDir, &super::Gate),
    (route, line): (&RouteId, &Line),
    (old, new): (u32, u32),
) -> Vec<Paper> {
    let (Some(old), Some(new)) = (line.release(old), line.release(new)) else { return Vec::new() };
    let (Some(before), Some(now)) = (old.targets.first(), new.targets.first()) else { return Vec::new() };
    let change = super::change::change(settings, &state.eval(), route, (before, now));
    let catalog = Catalog::load(&state.catalog()).ok();
    let suite = settings.routes.get(route).map(|route| route.suite.as_str()).unwrap_or_default();
    let certificate = gate.certificate(settings, now, suite);
    // The notes last: where they are, nothing is owed.
    vec![card(settings, catalog.as_ref(), now, certificate.as_ref()), notes(route, new, old, &change)]
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
}
