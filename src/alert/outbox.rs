//! Alerts that are to be sent, one lane per receiver: in order, tried again with backoff, bounded. Pure.
//!
//! A receiver hears of the end of an incident only when it heard of its beginning: where a firing alert is lost, to a full
//! outbox or to a receiver that was gone for a day, its resolve goes with it. One sending at a time per lane, so that a
//! resolve never overtakes. What is here is what is persisted; a sending that a crash cut is made again, under the same id.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    message::{Alert, DedupKey, State},
    sink::SinkId,
};

/// The most alerts that wait, in all lanes together.
pub(super) const MOST: usize = 1000;
/// How long an alert is tried, in ms.
const PATIENCE_MS: i64 = 24 * 3600 * 1000;
/// The first backoff is up to that, in ms.
const FIRST_BACKOFF_MS: f64 = 1000.0;
/// No backoff is longer, in ms.
const LAST_BACKOFF_MS: f64 = 5.0 * 60.0 * 1000.0;
/// No backoff is shorter, in ms: full jitter alone could be nothing.
const LEAST_BACKOFF_MS: f64 = 100.0;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outbox {
    lanes: BTreeMap<SinkId, Lane>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Lane {
    /// Incidents that the receiver knows of, or will.
    told: BTreeMap<DedupKey, Told>,
    queue: VecDeque<Entry>,
    /// Failures in a row.
    failures: u32,
    not_before_unix_ms: i64,
    #[serde(skip)]
    sending: Option<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    /// Its firing alert is in the queue and was never sent.
    Waiting,
    Sent,
}

/// One alert for one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The same through all retries.
    pub id: Uuid,
    pub alert: Alert,
    /// When it was put here, in ms since 1970-01-01 UTC.
    pub since_unix_ms: i64,
}

impl Outbox {
    /// Puts `entry` into the lane of `sink`. What had to leave because the outbox is full.
    pub fn push(&mut self, sink: &SinkId, entry: Entry) -> Vec<(SinkId, Entry)> {
        if !self.lanes.entry(sink.clone()).or_default().push(entry) {
            return Vec::new();
        }
        let mut left = Vec::new();
        while self.waiting() > MOST {
            let Some((sink, id)) = self.least() else { break };
            let lane = self.lanes.entry(sink.clone()).or_default();
            left.extend(lane.lose(id).into_iter().map(|entry| (sink.clone(), entry)));
        }
        left
    }

    /// Forgets the receivers that are not among `sinks`.
    pub fn keep_only(&mut self, sinks: &[SinkId]) -> Vec<SinkId> {
        let gone: Vec<SinkId> = self.lanes.keys().filter(|sink| !sinks.contains(sink)).cloned().collect();
        self.lanes.retain(|sink, _| sinks.contains(sink));
        gone
    }

    /// The next alert of each lane that may be sent now; each is to be answered for by [`Self::sent`], [`Self::failed`] or
    /// [`Self::refused`].
    pub fn take_due(&mut self, now_unix_ms: i64) -> Vec<(SinkId, Entry)> {
        let mut due = Vec::new();
        for (sink, lane) in &mut self.lanes {
            if lane.due_unix_ms().is_none_or(|due| due > now_unix_ms) {
                continue;
            }
            if let Some(entry) = lane.queue.front() {
                lane.sending = Some(entry.id);
                due.push((sink.clone(), entry.clone()));
            }
        }
        due
    }

    /// When the next sending is due, in ms since 1970-01-01 UTC.
    pub fn due_unix_ms(&self) -> Option<i64> {
        self.lanes.values().filter_map(Lane::due_unix_ms).min()
    }

    /// The receiver has it.
    pub fn sent(&mut self, sink: &SinkId, id: Uuid) {
        let Some(lane) = self.lanes.get_mut(sink) else { return };
        lane.sending = None;
        (lane.failures, lane.not_before_unix_ms) = (0, 0);
        let Some(at) = lane.queue.iter().position(|entry| entry.id == id) else { return };
        let Some(entry) = lane.queue.remove(at) else { return };
        let key = entry.alert.dedup_key;
        match entry.alert.state {
            State::Firing => drop(lane.told.insert(key, Told::Sent)),
            State::Resolved if lane.queue.iter().any(|entry| entry.alert.dedup_key == key) => {
                lane.told.insert(key, Told::Waiting);
            }
            State::Resolved => drop(lane.told.remove(&key)),
        }
    }

    /// It did not arrive, as far as we know: tried again after a backoff, or after `retry_after_ms` when the receiver said
    /// so and that is longer. What is given up, after a day. `random`: from 0 to 1.
    pub fn failed(
        &mut self,
        sink: &SinkId,
        id: Uuid,
        retry_after_ms: i64,
        random: f64,
        now_unix_ms: i64,
    ) -> Vec<Entry> {
        let Some(lane) = self.lanes.get_mut(sink) else { return Vec::new() };
        lane.sending = None;
        let wait = backoff_ms(lane.failures, random).max(retry_after_ms);
        lane.failures = lane.failures.saturating_add(1);
        lane.not_before_unix_ms = now_unix_ms.saturating_add(wait);
        let old = |entry: &Entry| entry.id == id && now_unix_ms.saturating_sub(entry.since_unix_ms) >= PATIENCE_MS;
        if lane.queue.iter().any(old) { lane.lose(id) } else { Vec::new() }
    }

    /// The receiver will never take it.
    pub fn refused(&mut self, sink: &SinkId, id: Uuid) -> Vec<Entry> {
        let Some(lane) = self.lanes.get_mut(sink) else { return Vec::new() };
        lane.sending = None;
        lane.lose(id)
    }

    /// How many alerts wait.
    pub fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.queue.len()).sum()
    }

    /// How many alerts wait, by receiver.
    pub fn waiting_by_sink(&self) -> impl Iterator<Item = (&SinkId, usize)> {
        self.lanes.iter().map(|(sink, lane)| (sink, lane.queue.len()))
    }

    /// The alert that matters least, the oldest of those, and none that is being sent.
    fn least(&self) -> Option<(SinkId, Uuid)> {
        let entries = self.lanes.iter().flat_map(|(sink, lane)| {
            lane.queue.iter().filter(|entry| lane.sending != Some(entry.id)).map(move |entry| (sink, entry))
        });
        let (sink, entry) = entries.min_by_key(|(_, entry)| (entry.alert.severity, entry.since_unix_ms))?;
        Some((sink.clone(), entry.id))
    }
}

impl Lane {
    /// False: there is nothing to add.
    fn push(&mut self, entry: Entry) -> bool {
        let key = entry.alert.dedup_key.clone();
        let sending = self.sending;
        let last = self.queue.iter_mut().rev().find(|other| other.alert.dedup_key == key);
        match (entry.alert.state, last) {
            (State::Firing, Some(last)) if last.alert.state == State::Firing && sending != Some(last.id) => {
                last.alert = entry.alert;
                return false;
            }
            (State::Resolved, Some(last)) if last.alert.state == State::Resolved => return false,
            (State::Resolved, None) if !self.told.contains_key(&key) => return false,
            _ => {}
        }
        if entry.alert.state == State::Firing {
            self.told.entry(key).or_insert(Told::Waiting);
        }
        self.queue.push_back(entry);
        true
    }

    fn due_unix_ms(&self) -> Option<i64> {
        (self.sending.is_none() && !self.queue.is_empty()).then_some(self.not_before_unix_ms)
    }

    /// The alert `id` leaves unsent, and its resolve with it where the receiver never heard of the incident.
    fn lose(&mut self, id: Uuid) -> Vec<Entry> {
        let Some(at) = self.queue.iter().position(|entry| entry.id == id) else { return Vec::new() };
        let Some(entry) = self.queue.remove(at) else { return Vec::new() };
        let key = entry.alert.dedup_key.clone();
        let mut lost = vec![entry];
        let unheard = self.told.get(&key) == Some(&Told::Waiting);
        let next = self.queue.iter().enumerate().skip(at).find(|(_, entry)| entry.alert.dedup_key == key);
        let next = next.map(|(at, entry)| (at, entry.alert.state));
        if let (State::Firing, true, Some((at, State::Resolved))) = (lost[0].alert.state, unheard, next) {
            lost.extend(self.queue.remove(at));
        }
        let more = self.queue.iter().any(|entry| entry.alert.dedup_key == key);
        if !more && (unheard || lost[0].alert.state == State::Resolved) {
            self.told.remove(&key);
        }
        lost
    }
}

/// Full jitter (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>), in ms.
fn backoff_ms(failures: u32, random: f64) -> i64 {
    let most = (FIRST_BACKOFF_MS * 2_f64.powi(failures.min(20).cast_signed())).min(LAST_BACKOFF_MS);
    (most * random.clamp(0.0, 1.0)).max(LEAST_BACKOFF_MS) as i64
}
