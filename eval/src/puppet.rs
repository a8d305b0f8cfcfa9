//! For tests: subjects whose every answer is written down.

use std::sync::atomic::{AtomicUsize, Ordering};

use backstop_models::chat::{Answer, Chat, Finish, Message, Part, Usage};

use crate::{
    subject::{BoxFuture, Subject, SubjectError},
    suite::Suite,
};

/// What a subject says to a question.
type Says = dyn Fn(&Chat) -> Result<Answer, SubjectError> + Send + Sync;

pub(crate) struct Puppet {
    says: Box<Says>,
    pub(crate) asked: AtomicUsize,
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

pub(crate) fn puppet(says: impl Fn(&Chat) -> Result<Answer, SubjectError> + Send + Sync + 'static) -> Puppet {
    Puppet { says: Box::new(says), asked: AtomicUsize::new(0) }
}

pub(crate) fn says(text: impl Into<String>, finish: Finish) -> Result<Answer, SubjectError> {
    let text = text.into();
    let tokens = text.split_whitespace().count() as u64;
    let usage = Usage { output_tokens: Some(tokens), ..Usage::default() };
    Ok(Answer {
        id: None,
        model: None,
        fingerprint: None,
        content: vec![Part::Text(text)],
        finish,
        usage,
        logprobs: Vec::new(),
    })
}

pub(crate) fn suite() -> Suite {
    Suite::find("stage2-continuity", std::path::Path::new("/nonexistent")).expect("it is built in")
}

/// A subject that knows the answers, as a check on the checks: each item's own words, and the ends that are asked for.
pub(crate) fn honest(chat: &Chat) -> Result<Answer, SubjectError> {
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
