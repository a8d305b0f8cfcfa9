//! How an engine is, and whether to send it a call.

use std::time::{Duration, Instant};

use super::Engine;

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    /// When a token was last generated.
    pub last_token_at: Option<Instant>,
    /// How many calls wait.
    pub queued: usize,
    /// When it was last loaded, or a step of it ended.
    progress_at: Instant,
    /// Without progress for so long it is not to be trusted: an idle one draws a token twice in that time.
    patience: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Calls are queued meanwhile.
    Loading,
    Ready,
    /// For good: every call is [`super::EngineFault::Stopped`].
    Failed {
        why: String,
    },
}

impl Health {
    /// Why it cannot be relied on at `now`. One that is being loaded again still takes calls.
    pub fn objection(&self, now: Instant) -> Option<String> {
        match &self.state {
            State::Ready => self.stall(now),
            State::Loading => Some("it is being loaded again".to_owned()),
            State::Failed { why } => Some(why.clone()),
        }
    }

    /// That nothing has moved in it for too long, whatever it says of itself.
    pub fn stall(&self, now: Instant) -> Option<String> {
        let still = now.saturating_duration_since(self.progress_at);
        (still > self.patience).then(|| match self.state {
            State::Loading => format!("it has been loading for {} s", still.as_secs()),
            State::Ready | State::Failed { .. } => format!("it has computed nothing for {} s", still.as_secs()),
        })
    }
}

impl Engine {
    pub fn health(&self) -> Health {
        let status = self.shared.status();
        Health {
            state: status.state.clone(),
            last_token_at: status.last_token_at,
            queued: self.shared.queue.waiting(|job| !job.events.is_closed()),
            progress_at: status.progress_at,
            patience: 2 * self.shared.options.canary_every,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_not_relied_on() {
        let start = Instant::now();
        let patience = Duration::from_secs(60);
        let at = |state| Health { state, last_token_at: None, queued: 0, progress_at: start, patience };
        let (soon, later) = (start + patience, start + Duration::from_secs(75));
        assert_eq!((at(State::Ready).objection(soon), at(State::Ready).stall(soon)), (None, None));
        assert_eq!(at(State::Ready).objection(later), Some("it has computed nothing for 75 s".to_owned()));
        assert_eq!(at(State::Loading).objection(soon), Some("it is being loaded again".to_owned()));
        assert_eq!(at(State::Loading).stall(soon), None);
        assert_eq!(at(State::Loading).stall(later), Some("it has been loading for 75 s".to_owned()));
        let failed = State::Failed { why: "broken".to_owned() };
        assert_eq!(at(failed).objection(start), Some("broken".to_owned()));
    }
}
