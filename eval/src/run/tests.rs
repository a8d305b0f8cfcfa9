//! The gate can fail: subjects that are broken in one way each, and the gate that sees it.

use std::sync::atomic::{AtomicUsize, Ordering};

use backstop_models::chat::{Chat, Finish, Message, Part, Role, Usage};

use super::*;
use crate::{
    report::Verdict,
    subject::{BoxFuture, SubjectError},
};

/// What a subject says to a question.
type Says = dyn Fn(&Chat) -> Result<Answer, SubjectError> + Send + Sync;

struct Puppet {
    says: Box<Says>,
    asked: AtomicUsize,
}

impl Subject for Puppet {
    fn name(&self) -> String {
        "local/puppet".into()
    }

    fn ask(&self, chat: Chat) -> BoxFuture<'_, Result<Answer, SubjectError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = (self.says)(&chat);
        Box::pin(async move { answer })
    }
}

fn puppet(says: impl Fn(&Chat) -> Result<Answer, SubjectError> + Send + Sync + 'static) -> Puppet {
    Puppet { says: Box::new(says), asked: AtomicUsize::new(0) }
}

fn says(text: impl Into<String>, finish: Finish) -> Result<Answer, SubjectError> {
    let text = text.into();
    let tokens = text.split_whitespace().count() as u64;
    let usage = Usage { output_tokens: Some(tokens), ..Usage::default() };
    Ok(Answer { id: None, model: None, content: vec![Part::Text(text)], finish, usage, logprobs: Vec::new() })
}

fn suite() -> Suite {
    Suite::find("stage2-continuity", std::path::Path::new("/nonexistent")).expect("it is built in")
}

/// A subject that knows the answers, as a check on the checks: each item's own words, and the ends that are asked for.
fn honest(chat: &Chat) -> Result<Answer, SubjectError> {
    let question = chat.messages.last().map(Message::joined_text).unwrap_or_default();
    let known = [
        ("Japan", "It is Tokyo."),
        ("Germany", "It is Berlin."),
        ("England", "It is London."),
        ("currency of the United", "It is the pound."),
        ("VAT", "It is the Value Added Tax."),
        ("week", "There are seven."),
        ("months", "There are 12."),
        ("buy", "It is to sell."),
        ("profit", "It is a loss."),
        ("2 + 2", "It is 4."),
        ("Maria", "She is in the Berlin office."),
        ("Lisa", "It was Lisa."),
        ("7788", "It is 7788."),
        ("300", "It is 300 euros."),
        ("20 pounds", "It is 20 pounds."),
        ("invoice number?", "It is 4711."),
        ("the price?", "It is 45 dollars."),
        ("total amount", "It is 90 euros."),
        ("supplier", "It is Nordwind."),
        ("bank do", "It lends money."),
        ("What is a bank", "It is a firm that keeps money"),
        ("Count", "4, 5, 6, "),
    ];
    if question.contains("currency of Japan") {
        return says("It is the yen.", Finish::Stop);
    }
    if let Some(echo) = question.strip_prefix("Repeat after me: ") {
        return says(echo, Finish::Stop);
    }
    if question.contains("story") {
        return says("There was a bank in a town", Finish::Length);
    }
    let answer = known.iter().find(|(word, _)| question.contains(word)).map_or("I do not know.", |(_, answer)| *answer);
    says(answer, if chat.stop.is_empty() { Finish::Stop } else { Finish::StopSequence(None) })
}

async fn examined(subject: &Puppet) -> Report {
    let suite = suite();
    let report = run(&suite, subject, &Silent).await;
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
    let report = run(&suite, &Hanging, &Silent).await;
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert_eq!(report.items[0].error.as_deref(), Some("no answer within 20ms"));
}

#[tokio::test]
async fn a_doctored_report_contradicts_itself() {
    let suite = suite();
    let report = run(&suite, &puppet(|_| says("Berlin.", Finish::Stop)), &Silent).await;
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
