//! Keeps the settings in step with their file: on SIGHUP, and when the file changes.
//!
//! A file that cannot be used leaves the last good settings in force, and says so once. The directory is watched rather
//! than the file, so that an editor's rename and Kubernetes' swap of `..data` are both seen.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::Signal,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{Finding, Loaded, Settings, Severity, difference, load_file};

/// What a reload came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Reloaded {
    /// The new settings are in force.
    Applied {
        settings: Arc<Settings>,
        /// E.g. `routes: +new -gone ~changed`.
        changes: Vec<String>,
        /// Sections that changed in the file and stay as they were until a restart.
        needs_restart: Vec<&'static str>,
    },
    /// The last good settings stay in force.
    Refused { findings: Vec<Finding> },
    /// The file says what is already in force.
    Unchanged,
}

/// Decides on a config that could be read: the settings to put in force, or why not. Called off the async threads, so it
/// may read files.
pub type Judge = Box<dyn FnMut(Loaded) -> Result<Settings, Vec<Finding>> + Send>;

/// Told of what is about to be put in force; an error refuses it, and the last good settings stay. Called as [`Judge`] is.
pub type Before = Box<dyn FnMut(&Applying<'_>) -> Result<(), Finding> + Send>;

/// Settings that were judged good and are not in force yet.
#[derive(Debug)]
pub struct Applying<'a> {
    pub settings: &'a Settings,
    /// As in [`Reloaded::Applied`].
    pub changes: &'a [String],
    pub needs_restart: &'a [&'static str],
    /// SHA-256 of the file.
    pub digest: [u8; 32],
}

/// What a reload passes through.
pub struct Hooks {
    pub judge: Judge,
    pub before: Before,
    pub told: Told,
}

/// Told of every reload, after it took effect.
pub type Told = Box<dyn FnMut(&Reloaded) + Send>;

/// Watches until dropped.
#[derive(Debug)]
pub struct Watch {
    task: JoinHandle<()>,
    // Dropping it ends the notifications.
    _watcher: Option<RecommendedWatcher>,
}

impl Reloaded {
    /// The metric's label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Refused { .. } => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Watches `file` for `live`. Where the file system cannot tell of changes, `hangup` still does; the log says so.
///
/// `hangup`: of SIGHUP, listened for since before anyone could know of this process: unheard, that signal ends it.
pub fn watch(file: PathBuf, live: Arc<ArcSwap<Settings>>, hangup: Signal, hooks: Hooks) -> Watch {
    let changed = Arc::new(Notify::new());
    let watcher = directory_watcher(&file, Arc::clone(&changed));
    if let Err(error) = &watcher {
        tracing::warn!(%error, file = %file.display(), "the config's directory cannot be watched; send SIGHUP after a change");
    }
    // A change between the first load and this point is not missed: the first round compares with what is in force.
    changed.notify_one();
    let reloader = Reloader { file, live, hooks, seen: None };
    Watch { task: tokio::spawn(run(reloader, hangup, changed)), _watcher: watcher.ok() }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A burst of events is over when nothing came for this long …
const QUIET: Duration = Duration::from_millis(100);
/// … and is not waited out for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

async fn run(mut reloader: Reloader, mut hangup: Signal, changed: Arc<Notify>) {
    loop {
        let asked = tokio::select! {
            signal = hangup.recv() => match signal {
                Some(()) => Asked::BySignal,
                None => return,
            },
            () = changed.notified() => {
                settle(&changed).await;
                Asked::ByChange
            }
        };
        // Reading and judging touch the disk; the reloader comes back with the round's end.
        let round = move || {
            reloader.round(asked);
            reloader
        };
        match tokio::task::spawn_blocking(round).await {
            Ok(same) => reloader = same,
            Err(error) => {
                tracing::error!(%error, "the config is not reloaded any more; restart to use a new one");
                return;
            }
        }
    }
}

/// Waits until the burst of events is over.
async fn settle(changed: &Notify) {
    let patience = Instant::now() + PATIENCE;
    while timeout_at(patience.min(Instant::now() + QUIET), changed.notified()).await.is_ok() {
        if Instant::now() >= patience {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    BySignal,
    ByChange,
}

struct Reloader {
    file: PathBuf,
    live: Arc<ArcSwap<Settings>>,
    hooks: Hooks,
    /// Digest of the bytes last looked at, so that events about other files in the directory cost nothing more.
    seen: Option<[u8; 32]>,
}

impl Reloader {
    fn round(&mut self, asked: Asked) {
        let digest = super::read_bounded(&self.file).map_or([0; 32], |text| Sha256::digest(text).into());
        let first = self.seen.is_none();
        if asked == Asked::ByChange && self.seen == Some(digest) {
            return;
        }
        self.seen = Some(digest);
        let reloaded = self.reload(digest);
        if first && asked == Asked::ByChange && reloaded == Reloaded::Unchanged {
            return;
        }
        log(&self.file, &reloaded);
        (self.hooks.told)(&reloaded);
    }

    fn reload(&mut self, digest: [u8; 32]) -> Reloaded {
        let old = self.live.load_full();
        let judged = load_file(&self.file).and_then(|loaded| (self.hooks.judge)(loaded));
        let mut new = match judged {
            Ok(new) => new,
            Err(findings) => return Reloaded::Refused { findings },
        };
        let needs_restart = difference::keep_what_needs_a_restart(&old, &mut new);
        let changes = difference::between(&old, &new);
        if changes.is_empty() && needs_restart.is_empty() {
            return Reloaded::Unchanged;
        }
        let applying = Applying { settings: &new, changes: &changes, needs_restart: &needs_restart, digest };
        if let Err(finding) = (self.hooks.before)(&applying) {
            return Reloaded::Refused { findings: vec![finding] };
        }
        let settings = Arc::new(new);
        self.live.store(Arc::clone(&settings));
        Reloaded::Applied { settings, changes, needs_restart }
    }
}

fn log(file: &Path, reloaded: &Reloaded) {
    let file = file.display();
    match reloaded {
        Reloaded::Unchanged => tracing::info!(%file, "config reloaded: nothing changed"),
        Reloaded::Applied { changes, needs_restart, .. } => {
            tracing::info!(%file, changes = changes.join("; "), "config reloaded");
            if !needs_restart.is_empty() {
                tracing::warn!(%file, sections = needs_restart.join(", "), "these changes take effect after a restart");
            }
        }
        Reloaded::Refused { findings } => {
            let reasons: Vec<String> =
                findings.iter().filter(|finding| finding.severity != Severity::Note).map(ToString::to_string).collect();
            tracing::error!(%file, reasons = reasons.join(" | "), "config refused; the last good one stays in force");
        }
    }
}

fn directory_watcher(file: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an access too: acting on it would never end. An error may have swallowed a change.
        if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            return;
        }
        changed.notify_one();
    })?;
    let directory = directory_of(file);
    watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    // A config that is a link into another directory may also be written there.
    if let Ok(real) = file.canonicalize().map(|real| directory_of(&real))
        && directory.canonicalize().is_ok_and(|directory| directory != real)
    {
        watcher.watch(&real, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::{
        signal::unix::{SignalKind, signal},
        sync::mpsc,
    };

    use super::*;
    use crate::config::load;

    const ONE: &str = "routes: { a: { targets: [local/m] } }\n";
    const TWO: &str = "routes: { b: { targets: [local/m] } }\nlisten: 127.0.0.1:9\n";

    struct Watched {
        live: Arc<ArcSwap<Settings>>,
        rounds: mpsc::UnboundedReceiver<Reloaded>,
        _watch: Watch,
    }

    impl Watched {
        fn start(file: &Path) -> Self {
            let first = load(ONE, file).expect("loads").settings;
            let live = Arc::new(ArcSwap::from_pointee(first));
            let (told, rounds) = mpsc::unbounded_channel();
            let judge: Judge = Box::new(|loaded| {
                let refused = loaded.settings.routes.contains_key("refused");
                let why = || vec![Finding::of_file(Severity::Error, "test", "the judge says no")];
                if refused { Err(why()) } else { Ok(loaded.settings) }
            });
            let told: Told = Box::new(move |reloaded| {
                // The test may be over already.
                let _ = told.send(reloaded.clone());
            });
            let hooks = Hooks { judge, before: Box::new(|_| Ok(())), told };
            let hangup = signal(SignalKind::hangup()).expect("it can be listened for");
            let watch = watch(file.to_owned(), Arc::clone(&live), hangup, hooks);
            Self { live, rounds, _watch: watch }
        }

        async fn next(&mut self) -> Reloaded {
            let round = tokio::time::timeout(Duration::from_secs(20), self.rounds.recv()).await;
            round.expect("a reload within the bound").expect("the watch runs")
        }

        fn routes(&self) -> Vec<String> {
            self.live.load().routes.keys().map(ToString::to_string).collect()
        }
    }

    #[tokio::test]
    async fn a_renamed_in_file_is_applied_and_what_needs_a_restart_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("backstop.yaml");
        fs::write(&file, ONE).expect("writes");
        let mut watched = Watched::start(&file);
        fs::write(dir.path().join("new"), TWO).expect("writes");
        fs::rename(dir.path().join("new"), &file).expect("renames");
        let Reloaded::Applied { settings, changes, needs_restart } = watched.next().await else { panic!("applied") };
        assert_eq!(changes, ["routes: -a +b"]);
        assert_eq!(needs_restart, ["listen"]);
        assert_eq!(settings.listen.port(), 8080);
        assert_eq!(watched.routes(), ["b"]);
    }

    #[tokio::test]
    async fn a_bad_file_leaves_the_last_good_one_in_force() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("backstop.yaml");
        fs::write(&file, ONE).expect("writes");
        let mut watched = Watched::start(&file);
        for bad in ["routes: [", "routes: { refused: { targets: [local/m] } }"] {
            fs::write(&file, bad).expect("writes");
            let Reloaded::Refused { findings } = watched.next().await else { panic!("refused") };
            assert!(!findings.is_empty());
            assert_eq!(watched.routes(), ["a"]);
        }
        fs::remove_file(&file).expect("removes");
        assert!(matches!(watched.next().await, Reloaded::Refused { .. }));
        fs::write(&file, TWO).expect("writes");
        assert!(matches!(watched.next().await, Reloaded::Applied { .. }));
        assert_eq!(watched.routes(), ["b"]);
    }

    /// Kubernetes mounts `backstop.yaml -> ..data/backstop.yaml` and swaps the link `..data`.
    #[tokio::test]
    async fn a_swapped_data_link_is_seen() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        for (version, text) in [("..1", ONE), ("..2", TWO)] {
            fs::create_dir(at(version)).expect("makes");
            fs::write(at(version).join("backstop.yaml"), text).expect("writes");
        }
        symlink("..1", at("..data")).expect("links");
        symlink("..data/backstop.yaml", at("backstop.yaml")).expect("links");
        let mut watched = Watched::start(&at("backstop.yaml"));
        symlink("..2", at("..data_tmp")).expect("links");
        fs::rename(at("..data_tmp"), at("..data")).expect("swaps");
        assert!(matches!(watched.next().await, Reloaded::Applied { .. }));
        assert_eq!(watched.routes(), ["b"]);
    }
}
