//! How an engine is, and whether to send it a call.

use std::time::{Duration, Instant};

use super::Engine;
use super::lookup::Guesses;

/// How an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    /// When a token was last generated.
    pub last_token_at: Option<Instant>,
    /// How many calls wait.
    pub queued: usize,
    /// Of the answers that have ended.
    pub guesses: Guesses,
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
    /// Why it cannot be relied on at `now`.
    pub fn objection(&self, now: Instant) -> Option<String> {
        let reloads = || (self.state == State::Loading).then(|| "it is being loaded again".to_owned());
        refusal(&self.state, now.saturating_duration_since(self.progress_at), self.patience).or_else(reloads)
    }
}

impl Engine {
    pub fn health(&self) -> Health {
        let queued = self.shared.queue.waiting(|job| !job.events.is_closed());
        let status = self.shared.status();
        Health {
            state: status.state.clone(),
            last_token_at: status.last_token_at,
            queued,
            guesses: status.guesses,
            progress_at: status.progress_at,
            patience: self.patience(),
        }
    }

    /// Why it takes no call at `now`, where it takes none. One that is being loaded again takes them, but not for ever.
    pub fn refusal(&self, now: Instant) -> Option<String> {
        let status = self.shared.status();
        refusal(&status.state, now.saturating_duration_since(status.progress_at), self.patience())
    }

    fn patience(&self) -> Duration {
        2 * self.shared.options.canary_every
    }
}

/// Of an engine in which nothing has moved for `still`.
fn refusal(state: &State, still: Duration, patience: Duration) -> Option<String> {
    match state {
        State::Failed { why } => Some(why.clone()),
        State::Loading if still > patience => Some(format!("it has been loading for {} s", still.as_secs())),
        State::Ready if still > patience => Some(format!("it has computed nothing for {} s", still.as_secs())),
        State::Loading | State::Ready => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_not_relied_on() {
        let start = Instant::now();
        let patience = Duration::from_secs(60);
        let at = |state| Health {
            state,
            last_token_at: None,
            queued: 0,
            guesses: Guesses::default(),
            progress_at: start,
            patience,
        };
        let (soon, later) = (start + patience, start + Duration::from_secs(75));
        let refused = |state, still| refusal(&state, Duration::from_secs(still), patience);
        assert_eq!((at(State::Ready).objection(soon), refused(State::Ready, 60)), (None, None));
        let stalled = Some("it has computed nothing for 75 s".to_owned());
        assert_eq!((at(State::Ready).objection(later), refused(State::Ready, 75)), (stalled.clone(), stalled));
        assert_eq!(at(State::Loading).objection(soon), Some("it is being loaded again".to_owned()));
        assert_eq!(refused(State::Loading, 60), None);
        let hangs = Some("it has been loading for 75 s".to_owned());
        assert_eq!((at(State::Loading).objection(later), refused(State::Loading, 75)), (hangs.clone(), hangs));
        let failed = || State::Failed { why: "broken".to_owned() };
        assert_eq!(at(failed()).objection(start), Some("broken".to_owned()));
        assert_eq!(refused(failed(), 75), Some("broken".to_owned()), "why it failed matters more than since when");
    }
}
