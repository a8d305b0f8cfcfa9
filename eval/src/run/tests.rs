//! The gate can fail: subjects that are broken in one way each, and the gate that sees it.

use std::sync::atomic::{AtomicUsize, Ordering};

use backstop_models::chat::{Answer, Chat, Finish, Message, Part, Role, Usage};

use super::*;
use crate::{
    puppet::{Puppet, honest, puppet, says, suite},
    report::Verdict,
    subject::{BoxFuture, SubjectError},
};

async fn examined(subject: &Puppet) -> Report {
    let suite = suite();
    let report = run(&suite, subject, RunOptions::default(), &Silent).await;
    report.recheck(&suite).expect("a run's report follows from its items");
    report
}

fn failed_gates(report: &Report) -> Vec<&str> {
    report.gates.iter().filter(|gate| gate.verdict != Verdict::Pass).map(|gate| gate.id.as_str()).collect()
}

#[tokio::test]
async fn a_subject_that_knows_the_answers_passes() {
    let report = examined(&puppet(honest)).await;
    assert_eq!((report.verdict, report.errors), (Verdict::Pass, 0), "{:#?}", report.why);
    assert!(report.items.iter().all(|item| item.scores.values().all(|score| score.passed)));
}

#[tokio::test]
async fn the_same_answer_to_everyone_fails_by_sense() {
    let report = examined(&puppet(|_| says("The capital of Germany is Berlin.", Finish::Stop))).await;
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(failed_gates(&report).contains(&"sense"));
    let sense = report.gates.iter().find(|gate| gate.id == "sense").expect("there is such a gate");
    assert!(sense.k <= 3, "{sense:?}");
}

#[tokio::test]
async fn an_echo_fails_by_sense() {
    let echo = puppet(|chat| says(chat.messages.last().map(Message::joined_text).unwrap_or_default(), Finish::Stop));
    let report = examined(&echo).await;
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(failed_gates(&report).contains(&"sense"), "{:?}", report.gates);
}

#[tokio::test]
async fn reciting_the_whole_conversation_fails() {
    let recite = puppet(|chat| says(chat.messages.iter().map(Message::joined_text).collect::<String>(), Finish::Stop));
    let report = examined(&recite).await;
    assert_eq!(failed_gates(&report), ["contract", "sense"]);
}

#[tokio::test]
async fn empty_answers_fail_by_contract() {
    let report = examined(&puppet(|_| says("", Finish::Stop))).await;
    assert!(failed_gates(&report).contains(&"contract"));
    assert_eq!(report.verdict, Verdict::Fail);
}

#[tokio::test]
async fn answers_that_never_end_fail_by_form() {
    let endless = puppet(|chat| honest(chat).map(|answer| Answer { finish: Finish::Length, ..answer }));
    assert_eq!(failed_gates(&examined(&endless).await), ["contract", "form"]);
}

#[tokio::test]
async fn word_salad_fails_by_form_and_sense() {
    let salad = puppet(|_| says("lexer Bonn tornado quick seldom harvest pixel granite mutex fold", Finish::Stop));
    let failed = examined(&salad).await;
    assert!(["form", "sense"].iter().all(|gate| failed_gates(&failed).contains(gate)));
}

#[tokio::test]
async fn one_leaked_control_token_fails_by_contract() {
    let leaking = puppet(|chat| match chat.messages.last().map(Message::joined_text) {
        Some(question) if question.contains("VAT") => says("It is Value Added Tax.<|im_end|>", Finish::Stop),
        _ => honest(chat),
    });
    let report = examined(&leaking).await;
    assert_eq!(failed_gates(&report), ["contract"]);
    assert!(report.why[0].contains("27 of 28"), "{:?}", report.why);
}

#[tokio::test]
async fn a_leaked_system_message_fails_by_contract() {
    let leaking = puppet(|chat| match chat.messages.first() {
        Some(first) if first.role == Role::System => says(format!("Tokyo. {}", first.joined_text()), Finish::Stop),
        _ => honest(chat),
    });
    assert_eq!(failed_gates(&examined(&leaking).await), ["contract"]);
}

#[tokio::test]
async fn changing_ones_mind_fails_by_contract() {
    let count = AtomicUsize::new(0);
    let fickle = puppet(move |chat| {
        let mut answer = honest(chat)?;
        let odd = count.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        answer.content.push(Part::Text(if odd { " Yes.".into() } else { String::new() }));
        Ok(answer)
    });
    assert_eq!(failed_gates(&examined(&fickle).await), ["contract"]);
}

#[tokio::test]
async fn ignoring_max_tokens_fails_by_contract() {
    let long = puppet(|chat| {
        honest(chat).map(|answer| Answer { usage: Usage { output_tokens: Some(500), ..Usage::default() }, ..answer })
    });
    assert_eq!(failed_gates(&examined(&long).await), ["contract"]);
}

/// A wrong answer cannot be hidden behind an error, and a subject that is down is not asked to the end.
#[tokio::test]
async fn errors_make_it_inconclusive_and_end_the_run() {
    let down = puppet(|_| Err(SubjectError::Truncated));
    let report = examined(&down).await;
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(down.asked.load(Ordering::Relaxed), 1);
    let hiding = puppet(|chat| match chat.messages.last().map(Message::joined_text) {
        Some(question) if question.contains("story") => Err(SubjectError::Truncated),
        _ => honest(chat),
    });
    let report = examined(&hiding).await;
    assert_eq!((report.verdict, report.errors), (Verdict::Inconclusive, 1));
    assert_eq!(report.verdict.exit_code(), 11);
}

#[tokio::test]
async fn a_subject_that_hangs_is_an_error_after_the_deadline() {
    struct Hanging;
    impl Subject for Hanging {
        fn name(&self) -> String {
            "local/hanging".into()
        }

        fn ask(&self, _: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
            Box::pin(std::future::pending())
        }
    }
    let mut suite = suite();
    suite.deadline = Duration::from_millis(20);
    let report = run(&suite, &Hanging, RunOptions::default(), &Silent).await;
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.items[0].error.as_deref(), Some("no answer within 20ms"));
}

#[tokio::test]
async fn a_doctored_report_contradicts_itself() {
    let suite = suite();
    let report = run(&suite, &puppet(|_| says("Berlin.", Finish::Stop)), RunOptions::default(), &Silent).await;
    let doctored: [fn(&mut Report); 6] = [
        |report| report.verdict = Verdict::Pass,
        |report| report.gates.iter_mut().for_each(|gate| gate.k = gate.n),
        |report| report.gates.iter_mut().for_each(|gate| gate.threshold = 0.01),
        |report| report.items.truncate(20),
        |report| report.items.iter_mut().for_each(|item| item.scores.clear()),
        |report| report.suite.version = "1.0.1".into(),
    ];
    for doctor in doctored {
        let mut report = report.clone();
        doctor(&mut report);
        assert!(report.recheck(&suite).is_err());
    }
}

/// A suite of so many one-word questions, each to be answered by itself.
pub(super) fn echoes(count: usize) -> Suite {
    let header = "name: echoes\nversion: 1.0.0\npurpose: p\nsampling: { temperature: 0, seed: 1 }\nmax_tokens: 4\n\
                  deadline_seconds: 5\nerrors_allowed: 0\ngates:\n  - { id: g, about: a, min_items: 1, threshold: 0.5 }\n";
    let items: String = (0..count)
        .map(|i| {
            format!(
                "{{\"id\":\"i{i}\",\"messages\":[{{\"role\":\"user\",\"content\":\"w{i}\"}}],\"checks\":{{\"g\":[{{\"exact\":\"w{i}\"}}]}}}}\n"
            )
        })
        .collect();
    Suite::read("echoes", ("echoes.yaml", header), ("echoes.jsonl", &items)).unwrap_or_else(|error| panic!("{error}"))
}

fn echo() -> Puppet {
    puppet(|chat| says(chat.messages.last().map(Message::joined_text).unwrap_or_default(), Finish::Stop))
}

#[tokio::test]
async fn what_was_asked_before_a_kill_is_not_asked_again() {
    let (dir, suite) = (tempfile::tempdir().expect("a directory"), echoes(20));
    let journal = |reuse| Journal::open(dir.path(), "subject", &suite, reuse).expect("it opens");
    let (first, killed_at) = (echo(), 7);
    let mut half = suite.clone();
    half.items.truncate(killed_at);
    {
        // A run that ends without its last line, as one that was killed.
        let mut journal = journal(Reuse::Unfinished);
        for item in &half.items {
            let chat = item.chat(&suite.sampling);
            let answer = first.ask(chat.clone()).await.expect("an echo");
            journal.keep(&chat, 0, &AnswerRecord::of(&answer, 1, None)).expect("written");
        }
    }
    let second = echo();
    let options = RunOptions { journal: Some(journal(Reuse::Unfinished)), ..RunOptions::default() };
    let report = run(&suite, &second, options, &Silent).await;
    assert_eq!((report.verdict, report.resumed, report.reused), (Verdict::Pass, killed_at, 0));
    assert_eq!(second.asked.load(Ordering::Relaxed), 20 - killed_at);
    // Nobody has kept the report: whoever died before that asks nothing again.
    let third = echo();
    let kept = journal(Reuse::Unfinished);
    let ending = kept.ending();
    let options = RunOptions { journal: Some(kept), ..RunOptions::default() };
    let report = run(&suite, &third, options, &Silent).await;
    assert_eq!((third.asked.load(Ordering::Relaxed), report.resumed), (0, 20));
    Journal::open(dir.path(), "subject", &suite, Reuse::All).expect_err("it is held until it is ended");
    ending.finish().expect("written");
    // A finished run's answers are its own.
    let third = echo();
    let kept = journal(Reuse::Unfinished);
    let ending = kept.ending();
    let options = RunOptions { journal: Some(kept), ..RunOptions::default() };
    run(&suite, &third, options, &Silent).await;
    ending.finish().expect("written");
    assert_eq!(third.asked.load(Ordering::Relaxed), 20);
    let fourth = echo();
    let options = RunOptions { journal: Some(journal(Reuse::All)), ..RunOptions::default() };
    let report = run(&suite, &fourth, options, &Silent).await;
    assert_eq!((fourth.asked.load(Ordering::Relaxed), report.reused), (0, 20));
}

#[tokio::test]
async fn a_journal_is_cut_where_a_crash_has_cut_it() {
    let (dir, suite) = (tempfile::tempdir().expect("a directory"), echoes(20));
    let chat = suite.items[0].chat(&suite.sampling);
    let answer = echo().ask(chat.clone()).await.expect("an echo");
    let mut journal = Journal::open(dir.path(), "subject", &suite, Reuse::Unfinished).expect("it opens");
    journal.keep(&chat, 0, &AnswerRecord::of(&answer, 1, None)).expect("written");
    let busy = Journal::open(dir.path(), "subject", &suite, Reuse::Unfinished).expect_err("it is held");
    assert!(busy.to_string().contains("another run of this target over this suite is under way"), "{busy}");
    drop(journal);
    let file = std::fs::read_dir(dir.path()).expect("listed").next().expect("one file").expect("an entry").path();
    let whole = std::fs::read(&file).expect("read");
    for cut in 0..whole.len() {
        std::fs::write(&file, &whole[..cut]).expect("written");
        let mut journal = Journal::open(dir.path(), "subject", &suite, Reuse::Unfinished).expect("it opens");
        assert!(journal.get(&chat, 0).is_none(), "an answer that was cut after {cut} bytes");
        journal.keep(&chat, 0, &AnswerRecord::of(&answer, 1, None)).expect("written");
        drop(journal);
        let journal = Journal::open(dir.path(), "subject", &suite, Reuse::Unfinished).expect("it opens");
        assert!(journal.get(&chat, 0).is_some(), "what was kept after a cut at {cut} is lost");
    }
    let other = Journal::open(dir.path(), "another subject", &suite, Reuse::All).expect("it opens");
    assert!(other.get(&chat, 0).is_none());
}

#[tokio::test]
async fn many_are_asked_at_once_and_told_in_order() {
    struct Gathering {
        together: tokio::sync::Barrier,
    }
    impl Subject for Gathering {
        fn name(&self) -> String {
            "local/gathering".into()
        }

        fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
            Box::pin(async move {
                // Nobody is answered before four are here.
                self.together.wait().await;
                says(chat.messages.last().map(Message::joined_text).unwrap_or_default(), Finish::Stop)
            })
        }
    }
    let suite = echoes(20);
    let options = RunOptions { concurrency: 4, ..RunOptions::default() };
    let report = run(&suite, &Gathering { together: tokio::sync::Barrier::new(4) }, options, &Silent).await;
    assert_eq!((report.verdict, report.concurrency), (Verdict::Pass, 4));
    assert!(report.items.iter().map(|item| &item.id).eq(suite.items.iter().map(|item| &item.id)));
    report.recheck(&suite).expect("it follows");
}

#[tokio::test]
async fn money_that_is_spent_ends_the_run_without_a_verdict() {
    struct Dear(Puppet);
    impl Subject for Dear {
        fn name(&self) -> String {
            self.0.name()
        }

        fn cost_micros(&self, _: &Usage) -> Option<u64> {
            Some(1_000)
        }

        fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
            self.0.ask(chat)
        }
    }
    let (suite, dear) = (echoes(20), Dear(echo()));
    let options = RunOptions { max_cost_micros: Some(5_000), ..RunOptions::default() };
    let report = run(&suite, &dear, options, &Silent).await;
    assert_eq!((report.verdict, report.cost_micros), (Verdict::Inconclusive, Some(5_000)));
    assert_eq!(dear.0.asked.load(Ordering::Relaxed), 5);
    assert!(report.items[5].error.as_deref().is_some_and(|error| error.contains("$0.005")), "{:?}", report.items[5]);
}

#[tokio::test]
async fn what_a_subject_cannot_do_is_a_miss_and_no_error() {
    let unable = puppet(|_| Err(SubjectError::Refused("it knows no tools".into())));
    let suite = echoes(5);
    let report = run(&suite, &unable, RunOptions::default(), &Silent).await;
    assert_eq!((report.verdict, report.errors), (Verdict::Fail, 0));
    assert!(report.items[4].refused.as_deref().is_some_and(|why| why.contains("it knows no tools")));
    report.recheck(&suite).expect("it follows");
}

#[tokio::test]
async fn a_subject_that_is_busy_is_waited_for() {
    let tries = AtomicUsize::new(0);
    let busy = puppet(move |chat| match tries.fetch_add(1, Ordering::Relaxed) % 3 {
        2 => says(chat.messages.last().map(Message::joined_text).unwrap_or_default(), Finish::Stop),
        _ => Err(SubjectError::Busy { retry_after: Duration::from_millis(1) }),
    });
    let report = run(&echoes(5), &busy, RunOptions::default(), &Silent).await;
    assert_eq!((report.verdict, report.errors), (Verdict::Pass, 0));
}
