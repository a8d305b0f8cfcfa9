//! The one task that owns incidents and outbox: it hears of calls, decides nothing itself, writes down, then sends.
//!
//! Written before sent: a crash between the two sends a second time under the same id, and loses nothing. While the disk
//! cannot be written, alerts go out all the same. Settings are read anew each time, so that a reload counts at once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{
    alertmanager::REFRESH_MS,
    book::{Book, BookError, Kept},
    ladder::{Ladder, LeftOut},
    message::{Alert, State},
    outbox::{Entry, Outbox},
    rule::RuleFired,
    send::{Post, Sent},
    sink::SinkId,
};
use crate::{
    clock,
    config::{AlertSeverity, AlertSink, AlertTo, Settings},
    domain::{Outcome, RouteId},
    limit::BudgetMark,
    observe::metric,
    release::renewal::NotRenewed,
    store::ShareOverride,
};

/// How often incidents are tidied up and the settings looked at, when nothing else happens.
const LOOK: Duration = Duration::from_secs(1);
/// How many finished calls are looked at in one go.
const BATCH: usize = 256;
/// How long the last alerts may take when the gateway stops.
const FLUSH: Duration = Duration::from_secs(4);

/// What the desk hears.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) outcomes: mpsc::Receiver<Arc<Outcome>>,
    pub(super) left_out: mpsc::Receiver<BTreeSet<LeftOut>>,
    pub(super) budgets: mpsc::Receiver<BudgetMark>,
    pub(super) overrides: mpsc::Receiver<Option<ShareOverride>>,
    pub(super) drills: mpsc::Receiver<BTreeSet<RouteId>>,
    pub(super) rules: mpsc::Receiver<BTreeSet<RuleFired>>,
    pub(super) renewals: mpsc::Receiver<BTreeSet<NotRenewed>>,
}

#[derive(Debug)]
pub(super) struct Desk {
    ladder: Ladder,
    outbox: Outbox,
    settings: Arc<ArcSwap<Settings>>,
    post: Post,
    /// `None`: what happens is kept in memory alone.
    book: Option<Arc<Book>>,
    sendings: JoinSet<(SinkId, Uuid, Sent)>,
    /// Something is to be written down.
    changed: bool,
    /// The disk could be written the last time.
    writable: bool,
    refreshed_unix_ms: i64,
}

impl Desk {
    pub(super) fn new(kept: Kept, book: Option<Book>, settings: Arc<ArcSwap<Settings>>, post: Post) -> Self {
        Self {
            ladder: Ladder::restored(kept.incidents),
            outbox: kept.outbox,
            settings,
            post,
            book: book.map(Arc::new),
            sendings: JoinSet::new(),
            changed: false,
            writable: true,
            refreshed_unix_ms: 0,
        }
    }

    /// Runs until nobody tells of calls any more, then sends what can be sent at once.
    pub(super) async fn run(mut self, mut inbox: Inbox) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.round().await;
            let due = self.outbox.due_unix_ms().map_or(LOOK, |due| wait_ms(due - clock::unix_ms()).min(LOOK));
            tokio::select! {
                count = inbox.outcomes.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    batch.drain(..).for_each(|outcome| self.hear(&outcome));
                }
                Some(left_out) = inbox.left_out.recv() => {
                    let told = self.ladder.left_out(&left_out, clock::unix_ms());
                    self.tell(told);
                }
                Some(holds) = inbox.overrides.recv() => {
                    let told = self.ladder.share_overridden(holds.as_ref(), clock::unix_ms());
                    self.tell(told);
                }
                Some(overdue) = inbox.drills.recv() => {
                    let told = self.ladder.drills_overdue(&overdue, clock::unix_ms());
                    self.tell(told);
                }
                Some(fired) = inbox.rules.recv() => {
                    let told = self.ladder.rules_fired(&fired, clock::unix_ms());
                    self.tell(told);
                }
                Some(all) = inbox.renewals.recv() => {
                    let told = self.ladder.not_renewed(&all, clock::unix_ms());
                    self.tell(told);
                }
                Some(mark) = inbox.budgets.recv() => {
                    let told = self.ladder.budget_reached(&mark, clock::unix_ms());
                    self.tell(told);
                }
                Some(sent) = self.sendings.join_next() => self.settle(sent),
                () = tokio::time::sleep(due) => {}
            }
        }
        self.flush().await;
    }

    /// What is done between any two events.
    async fn round(&mut self) {
        let (settings, now) = (self.settings.load_full(), clock::unix_ms());
        let told = self.ladder.tidy(&settings, now);
        self.tell(told);
        let sinks: Vec<SinkId> = settings.alerts.iter().map(SinkId::of).collect();
        for sink in self.outbox.keep_only(&sinks) {
            self.changed = true;
            gauge!(metric::ALERTS_OUTBOX, "sink" => sink.kind().to_owned()).set(0.0);
            tracing::info!(sink = sink.kind(), "no longer in the config: what waited for it is dropped");
        }
        if now.saturating_sub(self.refreshed_unix_ms) >= REFRESH_MS || now < self.refreshed_unix_ms {
            self.refreshed_unix_ms = now;
            self.refresh(&settings);
        }
        self.write_down().await;
        self.send_due(&settings);
        self.measure();
    }

    fn hear(&mut self, outcome: &Outcome) {
        let settings = self.settings.load();
        let total_ms = settings
            .routes
            .get(&outcome.route)
            .map_or(f64::INFINITY, |route| route.deadlines.total.as_secs_f64() * 1e3);
        drop(settings);
        let told = self.ladder.see(outcome, total_ms, clock::unix_ms());
        self.tell(told);
    }

    fn tell(&mut self, told: Vec<Alert>) {
        if told.is_empty() {
            return;
        }
        self.changed = true;
        let settings = self.settings.load_full();
        for alert in told {
            log(&alert);
            for sink in settings.alerts.iter().filter(|sink| sink.min_severity <= alert.severity) {
                self.push(sink, alert.clone());
            }
        }
    }

    /// Tells what is open once more to those who forget.
    fn refresh(&mut self, settings: &Settings) {
        let open: Vec<Alert> = self.ladder.open().cloned().collect();
        for sink in settings.alerts.iter().filter(|sink| matches!(sink.to, AlertTo::Alertmanager { .. })) {
            for alert in open.iter().filter(|alert| sink.min_severity <= alert.severity) {
                self.changed = true;
                self.push(sink, alert.clone());
            }
        }
    }

    fn push(&mut self, sink: &AlertSink, alert: Alert) {
        let entry = Entry { id: Uuid::now_v7(), alert, since_unix_ms: clock::unix_ms() };
        for (sink, entry) in self.outbox.push(&SinkId::of(sink), entry) {
            counter!(metric::ALERTS_DROPPED, "sink" => sink.kind().to_owned()).increment(1);
            tracing::error!(
                sink = sink.kind(),
                alert = entry.alert.summary(),
                "the outbox is full: an alert is dropped"
            );
        }
    }

    fn send_due(&mut self, settings: &Settings) {
        for (id, entry) in self.outbox.take_due(clock::unix_ms()) {
            let Some(sink) = settings.alerts.iter().find(|sink| SinkId::of(sink) == id).cloned() else { continue };
            let post = self.post.clone();
            self.sendings.spawn(async move {
                let message = entry.id;
                // On a task of its own: one that panics is a failure like any other.
                let sending = tokio::spawn(async move { post.send(&sink, &entry).await });
                let broken = Sent::Failed { why: super::send::Failure::Unreachable, retry_after: None };
                (id, message, sending.await.unwrap_or(broken))
            });
        }
    }

    fn settle(&mut self, sent: Result<(SinkId, Uuid, Sent), tokio::task::JoinError>) {
        let Ok((sink, id, sent)) = sent else { return };
        self.changed = true;
        let result = |result: &'static str| {
            counter!(metric::ALERTS_SENT, "sink" => sink.kind().to_owned(), "result" => result).increment(1);
        };
        result(sent.as_str());
        match sent {
            Sent::Taken { status } => {
                tracing::debug!(sink = sink.kind(), status, "an alert was sent");
                self.outbox.sent(&sink, id);
            }
            Sent::Failed { why, retry_after } => {
                tracing::warn!(sink = sink.kind(), %why, "an alert was not sent and is tried again");
                let wait = retry_after.map_or(0, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                for entry in self.outbox.failed(&sink, id, wait, random(), clock::unix_ms()) {
                    result("gave_up");
                    tracing::error!(sink = sink.kind(), alert = entry.alert.summary(), "given up after a day");
                }
            }
            Sent::Refused { status } => {
                for entry in self.outbox.refused(&sink, id) {
                    let alert = entry.alert.summary();
                    tracing::error!(sink = sink.kind(), status, alert, "the receiver refuses an alert: it is dropped");
                }
            }
        }
    }

    /// Sends what is due, each once, within a bound; what is left is kept for the next start.
    async fn flush(&mut self) {
        let until = Instant::now() + FLUSH;
        loop {
            self.round().await;
            match timeout_at(until, self.sendings.join_next()).await {
                Ok(Some(sent)) => self.settle(sent),
                // Nothing more is due, or the time is up.
                Ok(None) | Err(_) => break,
            }
        }
        // What was seen since the last change counts too.
        self.changed |= self.ladder.open().next().is_some();
        self.write_down().await;
        let waiting = self.outbox.waiting();
        if waiting > 0 {
            tracing::warn!(waiting, "alerts are kept for the next start");
        }
    }

    async fn write_down(&mut self) {
        let Some(book) = self.book.as_ref().filter(|_| self.changed) else { return };
        let kept = Kept { incidents: self.ladder.incidents().cloned().collect(), outbox: self.outbox.clone() };
        let book = Arc::clone(book);
        let written = tokio::task::spawn_blocking(move || {
            let kept = serde_json::to_vec(&kept).expect("incidents and alerts are plain data");
            book.write(&kept)
        });
        let written: Result<(), BookError> = written.await.unwrap_or(Ok(()));
        if let Err(error) = &written
            && self.writable
        {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "alerts are sent, and would not survive a restart"
            );
        }
        // On a disk that cannot be written, the next change tries again.
        self.writable = written.is_ok();
        self.changed = false;
    }

    fn measure(&self) {
        for (sink, waiting) in self.outbox.waiting_by_sink() {
            gauge!(metric::ALERTS_OUTBOX, "sink" => sink.kind().to_owned()).set(waiting as f64);
        }
        for severity in [AlertSeverity::Warning, AlertSeverity::Error, AlertSeverity::Critical] {
            gauge!(metric::INCIDENTS, "severity" => severity.as_str()).set(self.ladder.open_of(severity) as f64);
        }
    }
}

fn log(alert: &Alert) {
    let (event, severity, summary) = (alert.event.as_str(), alert.severity.as_str(), alert.summary());
    let route = &alert.route;
    match (alert.state, alert.severity) {
        (State::Resolved, _) => tracing::info!(%route, event, severity, "resolved: {summary}"),
        (State::Firing, AlertSeverity::Info | AlertSeverity::Warning) => {
            tracing::warn!(%route, event, severity, "alert: {summary}");
        }
        (State::Firing, AlertSeverity::Error | AlertSeverity::Critical) => {
            tracing::error!(%route, event, severity, "alert: {summary}");
        }
    }
}

fn wait_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// From 0 to 1.
fn random() -> f64 {
    f64::from(u32::from_le_bytes(clock::random_bytes())) / f64::from(u32::MAX)
}
