//! Limits on calls are waited out, whatever the deadline is, and are no slowness of who answers.

use std::sync::atomic::AtomicUsize;

use tokio::time::{MissedTickBehavior, interval};

use super::{super::Silent, *};

fn patience<'a>(told: &'a AtomicBool, pace: Option<&'a Pace>) -> Patience<'a> {
    Patience { deadline: Duration::from_millis(20), pace, progress: &Silent, told }
}

#[tokio::test]
async fn a_wait_longer_than_the_deadline_is_no_error_and_no_latency() {
    const WAIT: Duration = Duration::from_millis(100);
    let (told, tries, began) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
    let ask = || async {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err(SubjectError::Busy { retry_after: WAIT }),
            _ => Ok("here"),
        }
    };
    let (said, took_ms) = patience(&told, None).ask(ask).await.expect("it is answered in the end");
    assert_eq!(said, "here");
    assert!(began.elapsed() >= 3 * WAIT + Duration::from_millis(took_ms), "{took_ms} ms, with the waits in it");
    assert!(told.load(Ordering::Relaxed), "somebody was told");
}

#[tokio::test]
async fn it_ends_each_try_at_its_deadline_and_does_not_wait_for_ever() {
    let told = AtomicBool::new(false);
    let error = patience(&told, None).ask(std::future::pending::<Result<(), _>>).await.expect_err("nobody answers");
    assert_eq!(error.to_string(), "no answer within 20ms");
    let tries = AtomicUsize::new(0);
    let busy = || async {
        tries.fetch_add(1, Ordering::Relaxed);
        Err::<(), _>(SubjectError::Busy { retry_after: Duration::from_millis(1) })
    };
    let error = patience(&told, None).ask(busy).await.expect_err("it is always too busy");
    assert!(matches!(error, SubjectError::Busy { .. }), "{error}");
    assert_eq!(tries.load(Ordering::Relaxed), MOST_WAITS + 1);
}

#[tokio::test]
async fn what_is_asked_again_keeps_the_pace_too() {
    const PACE: Duration = Duration::from_millis(100);
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (told, pace, tries, began) = (AtomicBool::new(false), Mutex::new(ticks), AtomicUsize::new(0), Instant::now());
    let ask = || async {
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err(SubjectError::Busy { retry_after: Duration::from_millis(1) }),
            _ => Ok(()),
        }
    };
    patience(&told, Some(&pace)).ask(ask).await.expect("it is answered");
    assert!(began.elapsed() >= PACE, "asked again after {:?}", began.elapsed());
}
