//! The gate's word on every target of every route: certified for its suite, or why not.
//!
//! Fail closed. Everything a certificate binds is looked up anew at each examination: the suite's bytes, the model's
//! digests ([`super::look`]), the vendor's address. Blocking: run it off the runtime's threads.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use backstop_eval::{
    certificate::{Binding, BoundSubject, Certificate, CertificateStore, Holding, Invalid, Limits, Purpose, Warning},
    suite::{Suite, SuiteId, Tier},
};
use backstop_models::{
    device::Device,
    fetch::ModelStore,
    files::{Family, ModelFiles},
    load::Identity,
};
use time::OffsetDateTime;

use super::look::{LocalModel, Looker};
use crate::{
    config::{Criticality, LocalTier, Route, Settings, StateDir, Target, Vendor},
    domain::{TargetId, VendorId},
    route::{Demand, Standing, Standings},
};

#[derive(Debug)]
pub struct Gate {
    state: StateDir,
    looker: Arc<Looker>,
    certificates: CertificateStore,
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
    pub local: HashMap<String, LocalModel>,
    /// Targets that serve, and will not for long.
    pub warnings: BTreeMap<(TargetId, String), Warning>,
    /// Certificates of vendors' models that hold.
    pub vendors: Vec<(TargetId, Certificate)>,
}

impl Gate {
    pub fn open(state: &StateDir) -> Result<Self, GateError> {
        Ok(Self {
            state: state.clone(),
            looker: Arc::new(Looker::new(state)),
            certificates: CertificateStore::open(&state.eval())?,
        })
    }

    pub fn models(&self) -> &ModelStore {
        self.looker.store()
    }

    pub fn certificates(&self) -> &CertificateStore {
        &self.certificates
    }

    /// Looks at every target that needs a certificate. A file that does not answer is waited for as long as `patience` says.
    pub fn examine(&self, settings: &Settings, patience: Duration) -> Examination {
        let mut examination = Examination::default();
        // A GPU is tried once, for about a second: here, and not where somebody waits.
        let device = settings.local.device.choose().device;
        let now = OffsetDateTime::now_utc();
        // Routes share targets and suites, and a suite's file is read whole: each is looked at once.
        let ways = settings.ways();
        let (mut suites, mut done) = (HashMap::new(), HashSet::new());
        for route in &ways {
            let suite: &Result<SuiteId, String> = suites.entry(&route.suite).or_insert_with(|| {
                Suite::identify(&route.suite, &self.state.suites()).map_err(|error| error.to_string())
            });
            for (index, target) in route.targets.iter().enumerate() {
                if index == 0 && !target.id.is_local() || !done.insert((&target.id, Demand::of(route))) {
                    continue;
                }
                let looked = || self.looker.local_within(&target.id.model, device, patience);
                let model = if target.id.is_local() { looked().map(Some) } else { Ok(None) };
                let checked = model.and_then(|model| {
                    if let Some(model) = &model {
                        is_as_declared(settings, &target.id, model)?;
                        examination.local.insert(target.id.model.to_string(), model.clone());
                    }
                    self.check(settings, (&target.id, route), suite, model.as_ref(), now)
                });
                let standing = match checked {
                    Ok(holding) => {
                        let warning = holding.as_ref().and_then(|holding| holding.warning);
                        let key = (target.id.clone(), route.suite.clone());
                        examination.warnings.extend(warning.map(|warning| (key, warning)));
                        examination.watch(&target.id, holding.map(|holding| holding.certificate));
                        standing(warning)
                    }
                    Err(reason) => Standing::Uncertified { reason: reason.into() },
                };
                examination.standings.set(target.id.clone(), Demand::of(route), standing);
            }
        }
        examination
    }

    /// What a certificate for `target` under `suite` must bind now.
    pub fn binding(&self, settings: &Settings, target: &TargetId, suite: &SuiteId) -> Result<Binding, String> {
        let looked = || self.local(&target.model, settings.local.device.choose().device);
        let model = if target.is_local() { Some(looked()?) } else { None };
        bind(settings, target, suite, model.as_ref())
    }

    /// Why `target` has no certificate for what `route` demands; its own declared embeddings need none. Blocks on files.
    pub fn objection(&self, settings: &Settings, target: &Target, route: &Route) -> Option<String> {
        if target.declared_space.is_some() && target.can.embeddings && !target.can.answers && !target.id.is_local() {
            return None;
        }
        let suite = Suite::identify(&route.suite, &self.state.suites()).map_err(|error| error.to_string());
        let looked = || self.local(&target.id.model, settings.local.device.choose().device).map(Some);
        let model = if target.id.is_local() { looked() } else { Ok(None) };
        let now = OffsetDateTime::now_utc();
        model.and_then(|model| self.check(settings, (&target.id, route), &suite, model.as_ref(), now)).err()
    }

    /// The certificate that `target` has for `suite` now. Blocks on files.
    pub fn certificate(&self, settings: &Settings, target: &TargetId, suite: &str) -> Option<Certificate> {
        let suite = Suite::identify(suite, &self.state.suites()).ok()?;
        let binding = self.binding(settings, target, &suite).ok()?;
        let held = self.certificates.check(&binding, &settings.gate.trust, OffsetDateTime::now_utc()).ok()?;
        Some(held.certificate)
    }

    /// The certificate that is filed for `target` and `suite`, whether or not it holds. Blocks on a file.
    pub fn filed(&self, settings: &Settings, target: &TargetId, suite: &str) -> Option<Certificate> {
        let keys = self.certificates.keys(&settings.gate.trust).ok()?;
        let path = self.certificates.certificate_path(&target.to_string(), suite);
        self.certificates.read_file(&path, &keys).ok()
    }

    /// The certificate that `target` has for `suite`, though its time may be over: what the gateway may renew. Blocks on files.
    pub fn renewable(
        &self,
        settings: &Settings,
        target: &TargetId,
        suite: &SuiteId,
        now: OffsetDateTime,
    ) -> Option<Certificate> {
        let binding = self.binding(settings, target, suite).ok()?;
        self.certificates.renewable(&binding, &settings.gate.trust, now).ok()
    }

    /// The file of the certificate that is to take the place of `former` once enough have signed it. Blocks on files.
    pub fn awaited(
        &self,
        settings: &Settings,
        (target, suite): (&TargetId, &SuiteId),
        former: &Certificate,
        now: OffsetDateTime,
    ) -> Option<PathBuf> {
        let binding = self.binding(settings, target, suite).ok()?;
        Some(self.certificates.awaited((former, &binding), &settings.gate.trust, now)?.1)
    }

    /// A local model's verified files, what identifies them as `device` computes them, and how large it is.
    pub fn local(&self, model: &str, device: Device) -> Result<LocalModel, String> {
        self.looker.local(model, device)
    }

    fn check(
        &self,
        settings: &Settings,
        (target, route): (&TargetId, &Route),
        suite: &Result<SuiteId, String>,
        model: Option<&LocalModel>,
        now: OffsetDateTime,
    ) -> Result<Option<Holding>, String> {
        if model.is_some_and(|model| model.files.family == Family::Bert) {
            // Its vectors answer nothing that a suite asks; its bytes are those of the catalog.
            return Ok(None);
        }
        let binding = bind(settings, target, suite.as_ref()?, model)?;
        let held =
            self.certificates.check(&binding, &settings.gate.trust, now).map_err(|invalid| invalid.to_string())?;
        let outside = |reason| Invalid { target: binding.target, suite: binding.suite.name, reason }.to_string();
        held.certificate.is_for(purpose(route)).map_err(outside)?;
        Ok(Some(held))
    }
}

impl Examination {
    /// A vendor's model, whose bytes nobody sees, is asked again now and then.
    fn watch(&mut self, target: &TargetId, certificate: Option<Certificate>) {
        let is_known =
            |certificate: &Certificate| self.vendors.iter().any(|(_, known)| known.digest() == certificate.digest());
        if let Some(certificate) = certificate.filter(|certificate| !target.is_local() && !is_known(certificate)) {
            self.vendors.push((target.clone(), certificate));
        }
    }
}

fn standing(warning: Option<Warning>) -> Standing {
    match warning {
        Some(grace @ Warning::Grace { .. }) => Standing::InGrace { notice: grace.to_string().into() },
        Some(Warning::Expires { .. }) | None => Standing::Certified,
    }
}

fn purpose(route: &Route) -> Purpose<'_> {
    let tier = match route.criticality {
        Criticality::Batch => Tier::Batch,
        Criticality::Standard => Tier::Standard,
        Criticality::Critical => Tier::Critical,
    };
    Purpose { tier, use_case: route.use_case.as_deref() }
}

fn is_as_declared(settings: &Settings, target: &TargetId, model: &LocalModel) -> Result<(), String> {
    let (embeds, declared) = (model.files.family == Family::Bert, settings.embedding_spaces.contains_key(target));
    if embeds == declared {
        return Ok(());
    }
    let config = format!("models: {{ {target}: {{ embedding_space: … }} }}");
    Err(match embeds {
        true => format!("it makes embeddings; say which space they are of: `{config}`"),
        false => format!("it is a chat model and makes no embeddings; remove `{config}`"),
    })
}

/// `model`: of a local target.
fn bind(
    settings: &Settings,
    target: &TargetId,
    suite: &SuiteId,
    model: Option<&LocalModel>,
) -> Result<Binding, String> {
    let subject = match model {
        Some(model) => bound(&model.files, &model.identity, &settings.local),
        None => {
            let vendor = vendor(settings, &target.vendor)?;
            BoundSubject::vendor(vendor.kind, &vendor.base_url, vendor.region.as_deref(), &target.model)
        }
    };
    Ok(Binding { target: target.to_string(), subject, suite: suite.clone() })
}

fn bound(files: &ModelFiles, identity: &Identity, local: &LocalTier) -> BoundSubject {
    BoundSubject::Local {
        weights: identity.weights.clone(),
        tokenizer: identity.tokenizer.clone(),
        template: identity.template.clone(),
        generation_config: identity.generation_config.clone(),
        engine: identity.engine.clone(),
        quantization: identity.quantization.clone(),
        limits: Limits {
            context_tokens: local.context_tokens.map_or(files.context_tokens, |most| most.min(files.context_tokens)),
            running: local.running,
        },
    }
}

fn vendor<'a>(settings: &'a Settings, id: &VendorId) -> Result<&'a Vendor, String> {
    settings.vendors.get(id).ok_or_else(|| format!("vendor `{id}` is not configured"))
}
