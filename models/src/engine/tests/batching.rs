//! Several calls at once: together, in the order of what matters, and none the worse for another's end.

use super::*;

fn together(running: usize) -> EngineOptions {
    EngineOptions { running, ..alone(16) }
}

fn ask(text: &str) -> Chat {
    Chat { messages: vec![Message::text(Role::User, text)], ..Chat::default() }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// Waits until the engine's thread stands at the gate for the `steps`th time.
fn at_step(scripted: &Scripted, steps: usize) {
    while scripted.widths.lock().expect("no test panics in it").len() < steps {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn calls_are_answered_together() {
    let scripted = Scripted::gated_with(together(4));
    scripted.will_say("one");
    scripted.will_say("two");
    let first = scripted.engine.ask(ask("a")).expect("there is room");
    at_step(&scripted, 1);
    let second = scripted.engine.ask(ask("b")).expect("there is room");
    drop(scripted.gate);
    let (first, second) = tokio::join!(whole(first), whole(second));
    assert_eq!(text(&first.expect("it is answered")), "one");
    assert_eq!(text(&second.expect("it is answered")), "two");
    assert!(scripted.widths.lock().expect("no test panics in it").contains(&2), "both were in one step");
}

#[tokio::test]
async fn the_critical_go_first_and_batch_calls_give_way_and_are_finished() {
    let mut scripted = Scripted::gated_with(together(1));
    scripted.will_say("batch");
    let batch = scripted.engine.ask_as(ask("batch"), Class::Batch, later()).expect("there is room");
    at_step(&scripted, 1);
    let standard = scripted.engine.ask_as(ask("standard"), Class::Standard, later()).expect("there is room");
    let critical = scripted.engine.ask_as(ask("critical"), Class::Critical, later()).expect("there is room");
    scripted.will_say("critical");
    // The batch call begins anew: the script takes it for another one.
    scripted.will_say("atch");
    scripted.will_say("standard");
    drop(scripted.gate.take());
    let (batch, standard, critical) = tokio::join!(whole(batch), whole(standard), whole(critical));
    let said = |answer: Result<Answer, EngineFault>| text(&answer.expect("it is answered"));
    // The script is in the order in which they must be computed, so each has its own words only in that order.
    assert_eq!(
        (said(critical).as_str(), said(batch).as_str(), said(standard).as_str()),
        ("critical", "batch", "standard")
    );
}

#[tokio::test]
async fn a_crash_is_told_to_all_that_were_in_the_step_and_the_waiting_are_answered() {
    let mut scripted = Scripted::gated_with(together(2));
    let hi = scripted.model.vocabulary.encode("h").expect("it is text")[0];
    scripted.will(vec![Step::Say(hi), Step::Say(hi), Step::Panic]);
    scripted.will(vec![Step::Say(hi); 50]);
    scripted.will_say("third");
    let first = scripted.engine.ask(ask("a")).expect("there is room");
    at_step(&scripted, 1);
    let second = scripted.engine.ask(ask("b")).expect("there is room");
    let third = scripted.engine.ask(ask("c")).expect("there is room");
    drop(scripted.gate.take());
    for generation in [first, second] {
        assert!(matches!(whole(generation).await, Err(EngineFault::Failed { .. })));
    }
    assert_eq!(text(&whole(third).await.expect("it is answered")), "third");
    assert_eq!(scripted.loads(), 2);
}

#[tokio::test]
async fn a_step_that_hangs_is_told_and_the_engine_starts_anew() {
    let options = EngineOptions { step_limit: Duration::from_secs(1), ..together(2) };
    let mut scripted = Scripted::gated_with(options);
    scripted.will_say("never");
    let hung = scripted.engine.ask(ask("a")).expect("there is room");
    let fault = whole(hung).await.expect_err("the gate stays shut");
    assert!(matches!(&fault, EngineFault::Failed { why } if why.contains("hangs")), "{fault}");
    scripted.will_say("again");
    let next = scripted.engine.ask(ask("b")).expect("there is room");
    drop(scripted.gate.take());
    assert_eq!(text(&whole(next).await.expect("it is answered")), "again");
    assert_eq!(scripted.loads(), 2);
}

#[tokio::test]
async fn an_engine_that_computes_nothing_is_objected_to() {
    let scripted = Scripted::start(together(2), None);
    // Draws of what are no numbers fail, and are no sign of life.
    let loaded = Instant::now();
    scripted.will(vec![Step::NotANumber]);
    scripted.answer(ask("a")).await.expect_err("it cannot be drawn");
    let later = loaded + Duration::from_secs(61);
    let why = scripted.engine.health().objection(later);
    assert!(why.is_some_and(|why| why.contains("computed nothing")));
    scripted.will_say("again");
    scripted.answer(ask("b")).await.expect("it is answered");
    assert_eq!(scripted.engine.health().objection(Instant::now()), None);
}

#[tokio::test]
async fn an_idle_engine_proves_itself() {
    let options = EngineOptions { canary_every: Duration::from_millis(20), ..together(2) };
    let scripted = Scripted::gated_with(options);
    assert_eq!(scripted.engine.health().last_token_at, None);
    scripted.will(Vec::new());
    scripted.will(Vec::new());
    at_step(&scripted, 1);
    let gate = scripted.gate.as_ref().expect("it is gated");
    gate.send(()).expect("the engine waits");
    at_step(&scripted, 2);
    assert!(scripted.engine.health().last_token_at.is_some());
    scripted.answers.lock().expect("no test panics in it").extend((0..50).map(|_| Vec::new()));
}

#[tokio::test]
async fn a_call_that_would_come_too_late_is_refused_at_once() {
    let scripted = Scripted::new(16);
    // A slow machine: 10 tokens a second.
    scripted.engine.shared.pace().step(1000, Duration::from_secs(100));
    let long = ask(&"word ".repeat(400));
    let Err(EngineFault::Busy { retry_after }) =
        scripted.engine.ask_as(long.clone(), Class::Standard, Instant::now() + Duration::from_secs(20))
    else {
        panic!("500 tokens take 50 s")
    };
    assert!((25..45).contains(&retry_after.as_secs()), "{retry_after:?}");
    scripted.will_say("yes");
    let answer = scripted.engine.ask_as(ask("short"), Class::Standard, Instant::now() + Duration::from_secs(20));
    assert_eq!(text(&whole(answer.expect("it is in time")).await.expect("it is answered")), "yes");
}

#[tokio::test]
async fn a_shared_beginning_is_counted_as_cached() {
    let written = Tiny::new().write();
    let engine = tiny_engine(&written);
    let chat = |end: &str| {
        let system = Message::text(Role::System, "always the same long words at the beginning of each conversation");
        Chat { messages: vec![system, Message::text(Role::User, end)], max_tokens: Some(2), ..Chat::default() }
    };
    let first = whole(engine.ask(chat("a")).expect("there is room")).await.expect("it is answered");
    assert_eq!(first.usage.cached_input_tokens, Some(0));
    let second = whole(engine.ask(chat("b")).expect("there is room")).await.expect("it is answered");
    assert_eq!(second.usage.cached_input_tokens, Some(64));
    assert_eq!(second.usage.input_tokens, first.usage.input_tokens);
}

#[tokio::test]
async fn an_engine_that_computes_no_numbers_is_not_proven_and_is_loaded_again() {
    let options = EngineOptions { canary_every: Duration::from_millis(1), ..together(2) };
    // More than there can be canaries: no engine finds the script empty.
    let scripted = Scripted::start_with(options, None, &vec![vec![Step::NotANumber]; 100]);
    while scripted.loads() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scripted.engine.health().last_token_at, None);
}

#[tokio::test]
async fn batch_work_does_not_keep_a_critical_call_out() {
    let scripted = Scripted::new(16);
    scripted.engine.shared.pace().step(1000, Duration::from_secs(100));
    let busy = Load { running: 1, unread: 5000 };
    scripted.engine.shared.status().load = [Load::default(), Load::default(), busy];
    let until = Instant::now() + Duration::from_secs(20);
    let batch = scripted.engine.ask_as(ask("later"), Class::Batch, until);
    assert!(matches!(batch.map(|_| ()), Err(EngineFault::Busy { .. })));
    scripted.will_say("now");
    let critical = scripted.engine.ask_as(ask("now"), Class::Critical, until).expect("it goes first");
    assert_eq!(text(&whole(critical).await.expect("it is answered")), "now");
}

#[tokio::test]
async fn when_step_after_step_fails_the_weights_are_loaded_again() {
    let scripted = Scripted::new(1);
    for _ in 0..5 {
        assert_eq!(scripted.loads(), 1);
        scripted.will(vec![Step::Fail]);
        let fault = scripted.answer(hello()).await;
        assert!(matches!(fault, Err(EngineFault::Failed { .. })), "{fault:?}");
    }
    scripted.will_say("again");
    assert_eq!(text(&scripted.answer(hello()).await.expect("it is answered")), "again");
    assert_eq!(scripted.loads(), 2);
}

#[tokio::test]
async fn a_call_whose_time_is_over_in_the_line_is_not_looked_at() {
    let mut scripted = Scripted::gated_with(EngineOptions { queue: 4, running: 1, ..alone(4) });
    scripted.will_say("first");
    let first = scripted.engine.ask(hello()).expect("there is room");
    // It is late by the time that the first is through.
    let late = scripted.engine.ask_until(hello(), Instant::now()).expect("there is room");
    scripted.gate.take();
    assert_eq!(text(&whole(first).await.expect("it is answered")), "first");
    assert!(matches!(whole(late).await, Err(EngineFault::OutOfTime)));
    assert_eq!(scripted.widths.lock().expect("no test panics in it").iter().max(), Some(&1));
}

#[tokio::test]
async fn an_engine_that_hangs_starts_anew_only_where_a_second_copy_fits() {
    // As much as the scripted engine takes.
    let machine = Machine::with_memory(1 << 20);
    let options = EngineOptions { step_limit: Duration::from_secs(1), machine, ..together(2) };
    let mut scripted = Scripted::gated_with(options);
    scripted.will_say("never");
    let hung = scripted.engine.ask(ask("a")).expect("there is room");
    whole(hung).await.expect_err("the gate stays shut");
    let since = Instant::now();
    while scripted.engine.ask(ask("b")).is_ok() && since.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let why = scripted.engine.health().objection(Instant::now()).expect("it has failed");
    assert!(why.contains("hangs") && why.contains("needs 1 MiB, 0 MiB of 1 MiB are left"), "{why}");
    drop(scripted.gate.take());
}
