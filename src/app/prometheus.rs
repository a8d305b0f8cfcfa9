//! Reads the figures that rules ask for from a Prometheus, where the config names one: see `release/prometheus.rs`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tokio::task::JoinHandle;

use super::App;
use crate::{
    clock,
    config::{PrometheusSettings, Settings},
    domain::RouteId,
    observe::metric,
    release::prometheus::ask,
    store::Store,
    vault::Vault,
};

/// How often it is looked whether it is to be asked.
const LOOK: Duration = Duration::from_secs(1);
/// How long figures are kept, as those that are sent in are.
const KEPT_MS: i64 = 90 * 24 * 3600 * 1000;
/// A failure is said when it begins or is another one, and each time that it has gone on for so many readings more.
const SAID_EVERY: u32 = 100;

/// Asks until aborted.
pub(super) fn keep(app: &App) -> JoinHandle<()> {
    let (settings, store) = (Arc::clone(&app.settings), app.store.clone());
    let (vault, http) = (app.relay.vault.clone(), app.http.clone());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reader = Reader { store, vault, http, failed: HashMap::new() };
        let mut last: Option<Instant> = None;
        loop {
            tick.tick().await;
            let settings = settings.load_full();
            let Some(prometheus) = &settings.prometheus else { continue };
            if last.is_none_or(|last| last.elapsed() >= prometheus.every) {
                last = Some(clock::now());
                reader.read(&settings, prometheus).await;
            }
        }
    })
}

struct Reader {
    store: Store,
    vault: Vault,
    http: reqwest::Client,
    /// Why a query fails, and how often it has since that was so.
    failed: HashMap<String, (String, u32)>,
}

impl Reader {
    async fn read(&mut self, settings: &Settings, prometheus: &PrometheusSettings) {
        self.failed.retain(|name, _| prometheus.queries.contains_key(name));
        let routes: Vec<RouteId> = settings.routes.keys().cloned().collect();
        let token = prometheus.secret.as_ref().map(|name| (name, self.vault.get(name)));
        if let Some((name, None)) = token {
            let why = format!("the vault has no secret `{name}`; set it with `backstop vault set {name}`");
            for query in prometheus.queries.keys() {
                self.failed(query, &why);
            }
            return;
        }
        let token = token.and_then(|(_, token)| token);
        for (name, query) in &prometheus.queries {
            let asked = ask(&self.http, prometheus, (name, query), token.as_ref(), &routes).await;
            let kept = match asked {
                Ok(points) => self.store.put_kpis(points, clock::unix_ms() - KEPT_MS).await.map_err(|e| e.to_string()),
                Err(why) => Err(why.to_string()),
            };
            match kept {
                Ok(()) => {
                    counter!(metric::PROMETHEUS_READS, "figure" => name.clone(), "result" => "ok").increment(1);
                    if self.failed.remove(name).is_some() {
                        tracing::info!(figure = %name, "the figure is read from Prometheus again");
                    }
                }
                Err(why) => self.failed(name, &why),
            }
        }
    }

    fn failed(&mut self, name: &str, why: &str) {
        counter!(metric::PROMETHEUS_READS, "figure" => name.to_owned(), "result" => "failed").increment(1);
        let (known, times) = self.failed.entry(name.to_owned()).or_default();
        if known != why {
            (*known, *times) = (why.to_owned(), 0);
        }
        if times.is_multiple_of(SAID_EVERY) {
            tracing::warn!(figure = %name, %why, "a figure is not read from Prometheus; rules on it do not decide");
        }
        *times = times.saturating_add(1);
    }
}
