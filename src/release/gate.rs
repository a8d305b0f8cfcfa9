//! The gate's word on every target of every route: certified for its suite, or why not.
//!
//! Fail closed. Everything a certificate binds is looked up anew at each examination: the suite's bytes, the model's
//! digests, the vendor's address; only a file whose size, inode and change time are the same is not hashed again within
//! an hour. Blocking: run it off the runtime's threads.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backstop_eval::{
    certificate::{Binding, BoundSubject, CertificateStore},
    suite::{Suite, SuiteId},
};
use backstop_models::{
    catalog::{Catalog, Manifest},
    device::Device,
    fetch::ModelStore,
    files::{Family, ModelFiles},
    load::{self, Identity},
};
use time::OffsetDateTime;

use crate::{
    config::{Settings, StateDir, Vendor},
    domain::{TargetId, VendorId},
    route::{Standing, Standings},
};

/// How long an unchanged file's digest is trusted before it is computed again.
const REHASH: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub struct Gate {
    state: StateDir,
    store: ModelStore,
    certificates: CertificateStore,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("the certificates cannot be opened; mend the state directory's eval/")]
    Certificates(#[from] backstop_eval::certificate::StoreError),
}

/// One look at everything.
#[derive(Debug, Default)]
pub struct Examination {
    pub standings: Standings,
    /// The local models that routes name and whose files are good.
    pub local: HashMap<String, (ModelFiles, Identity)>,
}

/// A model as it was when it was last hashed.
#[derive(Debug, Clone)]
struct Seen {
    /// The manifest that it was described by.
    manifest: Manifest,
    device: Device,
    stamps: Vec<Stamp>,
    at: Instant,
    files: ModelFiles,
    identity: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Gate {
    pub fn open(state: &StateDir) -> Result<Self, GateError> {
        Ok(Self {
            state: state.clone(),
            store: ModelStore::new(state.models()),
            certificates: CertificateStore::open(&state.eval())?,
            seen: Mutex::default(),
        })
    }

    pub fn models(&self) -> &ModelStore {
        &self.store
    }

    pub fn certificates(&self) -> &CertificateStore {
        &self.certificates
    }

    /// Looks at every target that needs a certificate.
    pub fn examine(&self, settings: &Settings) -> Examination {
        let mut examination = Examination::default();
        // A GPU is tried once, for about a second: here, and not where somebody waits.
        settings.local.device.choose();
        let now = OffsetDateTime::now_utc();
        for route in settings.routes.values() {
            for (index, target) in route.targets.iter().enumerate() {
                if index == 0 && !target.id.is_local() {
                    continue;
                }
                let checked = self.check(settings, &target.id, &route.suite, now, &mut examination.local);
                let standing = match checked {
                    Ok(()) => Standing::Certified,
                    Err(reason) => Standing::Uncertified { reason: reason.into() },
                };
                examination.standings.set(target.id.clone(), &route.suite, standing);
            }
        }
        examination
    }

    /// What a certificate for `target` under `suite` must bind now.
    pub fn binding(&self, settings: &Settings, target: &TargetId, suite: &Suite) -> Result<Binding, String> {
        let subject = if target.is_local() {
            let (_, identity) = self.local(&target.model, settings.local.device.choose().device)?;
            bound(&identity)
        } else {
            let vendor = vendor(settings, &target.vendor)?;
            BoundSubject::vendor(vendor.kind, &vendor.base_url, vendor.region.as_deref(), &target.model)
        };
        Ok(Binding { target: target.to_string(), subject, suite: SuiteId::clone(suite.id()) })
    }

    /// A local model's verified files and what identifies them, as `device` computes it.
    pub fn local(&self, model: &str, device: Device) -> Result<(ModelFiles, Identity), String> {
        let catalog = Catalog::load(&self.state.catalog()).map_err(|error| error.to_string())?;
        let manifest = catalog.get(model).map_err(|error| error.to_string())?;
        if let Some(seen) = self.unchanged(manifest, device) {
            return Ok(seen);
        }
        let files = self.store.open(manifest).map_err(|error| error.to_string())?;
        let stamps = stamps(&files);
        let identity = load::identify(&files, device).map_err(|error| error.to_string())?;
        let seen = Seen {
            manifest: manifest.clone(),
            device,
            stamps,
            at: Instant::now(),
            files: files.clone(),
            identity: identity.clone(),
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), seen);
        Ok((files, identity))
    }

    fn check(
        &self,
        settings: &Settings,
        target: &TargetId,
        suite: &str,
        now: OffsetDateTime,
        local: &mut HashMap<String, (ModelFiles, Identity)>,
    ) -> Result<(), String> {
        if target.is_local() {
            let (files, identity) = self.local(&target.model, settings.local.device.choose().device)?;
            let (embeds, declared) = (files.family == Family::Bert, settings.embedding_spaces.contains_key(target));
            if embeds != declared {
                let config = format!("models: {{ {target}: {{ embedding_space: … }} }}");
                return Err(match embeds {
                    true => format!("it makes embeddings; say which space they are of: `{config}`"),
                    false => format!("it is a chat model and makes no embeddings; remove `{config}`"),
                });
            }
            local.insert(target.model.to_string(), (files, identity));
            if embeds {
                // Its vectors answer nothing that a suite asks; its bytes are those of the catalog.
                return Ok(());
            }
        }
        let suite = Suite::find(suite, &self.state.suites()).map_err(|error| error.to_string())?;
        let binding = self.binding(settings, target, &suite)?;
        self.certificates.check(&binding, now).map(drop).map_err(|invalid| invalid.to_string())
    }

    fn unchanged(&self, manifest: &Manifest, device: Device) -> Option<(ModelFiles, Identity)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(manifest.id.as_str())?;
        let same = seen.manifest == *manifest && seen.device == device;
        let same = same && seen.at.elapsed() < REHASH && stamps(&seen.files) == seen.stamps;
        same.then(|| (seen.files.clone(), seen.identity.clone()))
    }
}

fn bound(identity: &Identity) -> BoundSubject {
    BoundSubject::Local {
        weights: identity.weights.clone(),
        tokenizer: identity.tokenizer.clone(),
        template: identity.template.clone(),
        engine: identity.engine.clone(),
    }
}

fn vendor<'a>(settings: &'a Settings, id: &VendorId) -> Result<&'a Vendor, String> {
    settings.vendors.get(id).ok_or_else(|| format!("vendor `{id}` is not configured"))
}

fn stamps(files: &ModelFiles) -> Vec<Stamp> {
    files.paths().filter_map(stamp).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        path: path.to_owned(),
        inode: meta.ino(),
        bytes: meta.len(),
        changed: (meta.ctime(), meta.ctime_nsec()),
        modified: (meta.mtime(), meta.mtime_nsec()),
    })
}
