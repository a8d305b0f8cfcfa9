//! A rotation by the CLI is used by a running server: the directory's events tell, and a look every 2 s where they do
//! not.

use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, task::JoinHandle};

use super::Vault;

const LOOK: Duration = Duration::from_secs(2);
/// Events come in swarms; one reading after them is enough.
const SETTLE: Duration = Duration::from_millis(20);

/// Keeps the vault's snapshot fresh until it is dropped.
#[derive(Debug)]
pub struct VaultWatch {
    task: JoinHandle<()>,
}

impl VaultWatch {
    pub(super) fn start(vault: Vault) -> Self {
        let (changed, mut changes) = mpsc::channel(1);
        let watcher = watcher(&vault, changed.clone());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes to the vault are seen within 2 s, not at once");
        }
        let task = tokio::spawn(async move {
            // Both live as long as the task, so `recv` waits.
            let _kept = (watcher, changed);
            let mut look = tokio::time::interval(LOOK);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = changes.recv() => tokio::time::sleep(SETTLE).await,
                    _ = look.tick() => {}
                }
                let vault = vault.clone();
                if let Ok(Err(error)) = tokio::task::spawn_blocking(move || vault.reload()).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the vault cannot be read; its last good state stays"
                    );
                }
            }
        });
        Self { task }
    }
}

impl Drop for VaultWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn watcher(vault: &Vault, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the directory is an event too; answering that one would never end.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel holds a wake-up already.
            let _ = changed.try_send(());
        }
    })?;
    watcher.watch(&vault.opened.dir, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
