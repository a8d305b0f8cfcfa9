//! `backstop models`: which local models there are, and bringing their files here.
//!
//! Only the catalog's models are touched, and only inside the state directory.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use backstop_models::{
    catalog::{Catalog, Manifest},
    device::Device,
    fetch::{FetchError, Listed, ModelStore, Presence, Removed, Terminal},
    files::Family,
};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{Context, installation::Installation, operator::operator};
use crate::{
    config,
    domain::{Act, Action},
};

/// Local models: list, pull, verify, remove.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    verb: ModelsVerb,
}

#[derive(Debug, Subcommand)]
enum ModelsVerb {
    /// Every model of the catalog, and whether it is on this machine
    List {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model's files and verify them
    Pull {
        /// Its id [default: the catalog's default model]
        id: Option<String>,
    },
    /// Read every byte of a model and compare it with its manifest
    Verify {
        /// Its id [default: all that were pulled]
        id: Option<String>,
    },
    /// Remove a model's files
    Rm { id: String },
}

/// One model, as `models list --json` prints it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    license: &'a str,
    default: bool,
    context_tokens: u32,
    bytes: u64,
    sha256: String,
    pulled: bool,
    /// `null`: nothing to verify.
    digest_ok: Option<bool>,
    /// What it is computed on.
    device: String,
    /// What is wrong with the files that are here.
    fault: Option<String>,
}

/// Runs the verb. Exit code 1 where something is not as it should be.
pub async fn run(context: &Context, args: ModelsArgs) -> anyhow::Result<ExitCode> {
    let state = context.state()?;
    let catalog = Catalog::load(&state.catalog())?;
    // Models are pulled and listed without a config, or with one that has faults, too.
    let config = context.config_file().and_then(|file| config::load_file(&file).ok());
    let wanted = config.map(|loaded| loaded.settings.local.device).unwrap_or_default();
    let store = ModelStore::new(state.models());
    let act = act(&catalog, &args.verb)?;
    // Downloads and digests block for seconds or more.
    let work = move || match args.verb {
        ModelsVerb::List { json } => {
            let chosen = wanted.choose();
            if let Some(why) = chosen.fallback {
                eprintln!("warning: `local.device` is `{wanted}`, and the CPU computes: {why}");
            }
            if json { list_json(&store, &catalog, chosen.device) } else { list(&store, &catalog, chosen.device) }
        }
        ModelsVerb::Pull { id } => pull(&store, &catalog, id.as_deref()),
        ModelsVerb::Verify { id: Some(id) } => verify(&store, &[catalog.get(&id)?]),
        ModelsVerb::Verify { id: None } => verify_pulled(&store, &catalog),
        ModelsVerb::Rm { id } => remove(&store, &catalog, &id),
    };
    let work = async { tokio::task::spawn_blocking(work).await.context("the task ended early")? };
    let Some(act) = act else { return work.await };
    let installation = Installation::find(context)?;
    let audit = installation.audit().await?;
    let code = audit.around(act, work).await?;
    installation.sign(&audit).await;
    Ok(code)
}

/// What the audit log says of the verb; nothing where it changes nothing.
fn act(catalog: &Catalog, verb: &ModelsVerb) -> anyhow::Result<Option<Act>> {
    let (action, manifest) = match verb {
        ModelsVerb::Pull { id } => {
            (Action::ModelPull, id.as_deref().map_or(Ok(catalog.default_model()), |id| catalog.get(id))?)
        }
        ModelsVerb::Rm { id } => (Action::ModelRemove, catalog.get(id)?),
        ModelsVerb::List { .. } | ModelsVerb::Verify { .. } => return Ok(None),
    };
    let act = Act::new(operator(), action, ("model", manifest.id.as_str()));
    Ok(Some(act.after(json!({ "weights_sha256": manifest.weights_sha256() }))))
}

fn list(store: &ModelStore, catalog: &Catalog, device: Device) -> anyhow::Result<ExitCode> {
    let rows: Vec<_> = store.list(catalog).iter().map(|listed| cells(listed, device)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (id, size, license) = (width(0), width(1), width(2));
    let mut out = std::io::stdout().lock();
    for row in &rows {
        writeln!(out, "{:id$}  {:>size$}  {:license$}  {}", row[0], row[1], row[2], row[3])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list_json(store: &ModelStore, catalog: &Catalog, device: Device) -> anyhow::Result<ExitCode> {
    let listed = store.list(catalog);
    let rows: Vec<_> = listed.iter().map(|listed| Row::of(listed, device)).collect();
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&rows)?)?;
    Ok(ExitCode::SUCCESS)
}

fn pull(store: &ModelStore, catalog: &Catalog, id: Option<&str>) -> anyhow::Result<ExitCode> {
    let manifest = id.map_or(Ok(catalog.default_model()), |id| catalog.get(id))?;
    let files = store.pull(manifest, &Terminal::default())?;
    let path = files.weights.display();
    writeln!(std::io::stdout().lock(), "{}: here and verified, {path}", manifest.id)?;
    Ok(ExitCode::SUCCESS)
}

fn verify_pulled(store: &ModelStore, catalog: &Catalog) -> anyhow::Result<ExitCode> {
    let here: Vec<_> = catalog.iter().filter(|manifest| store.has(manifest)).collect();
    if here.is_empty() {
        writeln!(std::io::stdout().lock(), "no model is on this machine; run `backstop models pull`")?;
    }
    verify(store, &here)
}

fn verify(store: &ModelStore, manifests: &[&Manifest]) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for manifest in manifests {
        match store.verify(manifest) {
            Ok(()) => writeln!(std::io::stdout().lock(), "{}: verified, {}", manifest.id, manifest.weights_sha256())?,
            Err(error @ (FetchError::NotPulled { .. } | FetchError::Damaged { .. })) => {
                eprintln!("error: {}: {error}", manifest.id);
                code = ExitCode::FAILURE;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}

fn remove(store: &ModelStore, catalog: &Catalog, id: &str) -> anyhow::Result<ExitCode> {
    let manifest = catalog.get(id)?;
    let said = match store.remove(&manifest.id)? {
        Removed::Removed => "removed",
        Removed::WasNotHere => "was not on this machine",
    };
    writeln!(std::io::stdout().lock(), "{id}: {said}")?;
    Ok(ExitCode::SUCCESS)
}

fn cells(listed: &Listed<'_>, device: Device) -> [String; 4] {
    let manifest = listed.manifest;
    let mut state = match &listed.presence {
        Presence::NotPulled => "not pulled".to_owned(),
        Presence::Verified => "here, verified".to_owned(),
        Presence::Damaged(fault) => format!("DAMAGED: {fault}"),
    };
    if listed.default {
        state.push_str(" (default)");
    }
    if !matches!((device, manifest.family), (Device::Cpu, _) | (_, Family::Bert)) {
        state.push_str(&format!(", computed on {device}"));
    }
    let size = indicatif::DecimalBytes(manifest.bytes()).to_string();
    [manifest.id.to_string(), size, manifest.license.to_string(), state]
}

impl<'a> Row<'a> {
    fn of(listed: &'a Listed<'a>, device: Device) -> Self {
        let manifest = listed.manifest;
        let (digest_ok, fault) = match &listed.presence {
            Presence::NotPulled => (None, None),
            Presence::Verified => (Some(true), None),
            Presence::Damaged(fault) => (Some(false), Some(fault.to_string())),
        };
        Self {
            id: manifest.id.as_str(),
            name: &manifest.name,
            license: manifest.license.as_str(),
            default: listed.default,
            context_tokens: manifest.context_tokens.get(),
            bytes: manifest.bytes(),
            sha256: manifest.weights_sha256(),
            pulled: digest_ok.is_some(),
            digest_ok,
            device: if manifest.family == Family::Bert { Device::Cpu } else { device }.to_string(),
            fault,
        }
    }
}
