//! What the verbs beside `serve` work on: the config, if there is one, and the state directory's database and vault.
//!
//! A server may be running on the same state; nothing here gets in its way.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use backstop_models::catalog::Catalog;

use super::{Context, operator::operator};
use crate::{
    admin::Site,
    audit::{self, Audit},
    config::{self, Settings, Severity, StateDir, VaultSource},
    domain::TenantId,
    release::{Gate, shelf::Shelf},
    store::Store,
    vault::Vault,
    vendor::Clients,
};

/// The time that a connection to HashiCorp Vault may take to stand.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// One installation, as the command line names it.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) state: StateDir,
    /// `None`: there is no config file.
    settings: Option<Settings>,
}

impl Installation {
    pub(super) fn find(context: &Context) -> anyhow::Result<Self> {
        let settings = match context.config_file().map(|file| config::load_file(&file)) {
            None => None,
            Some(Ok(loaded)) => Some(loaded.settings),
            Some(Err(findings)) => {
                let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
                let errors: Vec<String> = errors.map(ToString::to_string).collect();
                bail!("the config cannot be used:\n{}", errors.join("\n"));
            }
        };
        Ok(Self { state: context.state()?, settings })
    }

    /// As [`Self::find`]; a config that cannot be used counts as none, for what must be possible all the same.
    pub(super) fn despite_config(context: &Context) -> anyhow::Result<Self> {
        match Self::find(context) {
            Ok(found) => Ok(found),
            Err(error) => {
                eprintln!("warning: {error:#}");
                Ok(Self { state: context.state()?, settings: None })
            }
        }
    }

    /// The config's settings; without a config, those with no vendors and no routes.
    pub(super) fn settings(&self) -> Settings {
        self.settings.clone().unwrap_or_default()
    }

    /// As [`Self::settings`], with the built-in routes where the config has none.
    pub(super) fn settings_or_embedded(&self) -> anyhow::Result<Settings> {
        let default_model = Catalog::load(&self.state.catalog())?.default_model().id.to_string();
        Ok(self.settings().or_embedded_routes(&default_model))
    }

    /// What operators' verbs work with. A database that cannot be opened keeps nobody from what needs none.
    pub(super) async fn site(&self) -> anyhow::Result<Site> {
        let store = match self.store().await {
            Ok(store) => Some(store),
            Err(error) => {
                eprintln!("warning: {error:#}; the last good copy of the releases counts");
                None
            }
        };
        Ok(Site {
            state: self.state.clone(),
            settings: Arc::new(self.settings_or_embedded()?),
            shelf: Arc::new(Shelf::open(&self.state, store.clone())),
            store,
            gate: Arc::new(Gate::open(&self.state)?),
            actor: operator(),
        })
    }

    pub(super) async fn store(&self) -> anyhow::Result<Store> {
        let configured = self.settings.as_ref().and_then(|settings| settings.sqlite_path.clone());
        Ok(Store::open_sqlite(&configured.unwrap_or_else(|| self.state.database())).await?)
    }

    /// The audit log. A database that cannot be opened keeps no act from being recorded: its entry waits in the local journal.
    pub(super) async fn audit(&self) -> anyhow::Result<Audit> {
        match self.store().await {
            Ok(store) => self.audit_on(store).await,
            Err(error) => {
                eprintln!("warning: {error:#}; what is done now waits in the audit log's local journal");
                Ok(Audit::open(&self.state, None)?)
            }
        }
    }

    /// As [`Self::audit`], on a database that is open. What waited is carried over first, so that entries stay in order.
    pub(super) async fn audit_on(&self, store: Store) -> anyhow::Result<Audit> {
        let audit = Audit::open(&self.state, Some(store))?;
        if let Err(error) = audit.reconcile().await {
            eprintln!("warning: audit entries wait in the local journal: {:#}", anyhow::Error::from(error));
        }
        Ok(audit)
    }

    /// Signs what was added to the log. A running server does so soon, so that this cannot be done now is no failure of the verb.
    pub(super) async fn sign(&self, audit: &Audit) {
        let signed = async { anyhow::Ok(audit::sign(audit, &self.vault().await?).await?) };
        if let Err(error) = signed.await {
            eprintln!("warning: the audit log is not signed: {error:#}");
        }
    }

    pub(super) async fn vault(&self) -> anyhow::Result<Vault> {
        // The default provider can be installed once; if it stands already, it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let source = self.settings.as_ref().map_or(VaultSource::default(), |settings| settings.vault.clone());
        let http = Clients::default().with_connect_deadline(CONNECT)?;
        Ok(Vault::open(&self.state.vault(), &source, http.http()).await?)
    }

    /// Tenants that the config names.
    pub(super) fn tenants(&self) -> Vec<TenantId> {
        self.settings.iter().flat_map(|settings| settings.tenants.keys().cloned()).collect()
    }

    /// The names that secrets are looked for under, besides those that the vault has.
    pub(super) fn secrets(&self) -> Vec<String> {
        let vendors = self.settings.iter().flat_map(|settings| settings.vendors.values());
        let sinks = self.settings.iter().flat_map(|settings| &settings.alerts);
        let of_sinks = sinks.filter_map(|sink| sink.secret().map(str::to_owned));
        let published = self.settings.iter().flat_map(|settings| &settings.audit.publish);
        let of_audit = published.filter_map(|sink| sink.secret().map(str::to_owned));
        let of_portals = self.settings.iter().flat_map(|settings| &settings.release.publish);
        let of_portals = of_portals.filter_map(|sink| sink.secret().map(str::to_owned));
        let of_pagers = self.settings.iter().filter_map(|settings| settings.incidents.pagerduty_secret.clone());
        let of_prometheus = self.settings.iter().filter_map(|settings| settings.prometheus.as_ref()?.secret.clone());
        let of_vendors = vendors.map(|vendor| vendor.secret.clone());
        of_vendors.chain(of_sinks).chain(of_audit).chain(of_portals).chain(of_pagers).chain(of_prometheus).collect()
    }
}
