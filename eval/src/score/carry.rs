//! Checks of how an answer comes: that there is one, how it ends, that limits and stops hold, that it can be repeated.

use backstop_models::chat::{Answer, Chat, Finish, Role};

use super::{Miss, excerpt, finish_name, text_of, words_of};

pub(super) fn not_empty(text: &str) -> Result<(), Miss> {
    if text.trim().is_empty() { Err(Miss("the answer is empty".into())) } else { Ok(()) }
}

pub(super) fn ended(finish: &Finish) -> Result<(), Miss> {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => Ok(()),
        other => Err(Miss(format!("it did not come to an end of its own: finish is {}", finish_name(other)))),
    }
}

pub(super) fn honours_stop(text: &str, finish: &Finish, stop: &[String]) -> Result<(), Miss> {
    if let Some(found) = stop.iter().find(|sequence| text.contains(sequence.as_str())) {
        return Err(Miss(format!("the stop sequence {found:?} is in {}", excerpt(text))));
    }
    ended(finish)
}

pub(super) fn honours_max_tokens(answer: &Answer, chat: &Chat) -> Result<(), Miss> {
    let Some(limit) = chat.max_tokens else {
        return Ok(());
    };
    match answer.usage.output_tokens {
        Some(tokens) if tokens <= u64::from(limit) => Ok(()),
        Some(tokens) => Err(Miss(format!("{tokens} tokens where {limit} were allowed"))),
        None => Err(Miss("the subject does not say how many tokens its answer has".into())),
    }
}

pub(super) fn cut_at_max_tokens(answer: &Answer, chat: &Chat) -> Result<(), Miss> {
    honours_max_tokens(answer, chat)?;
    match &answer.finish {
        Finish::Length => Ok(()),
        other => Err(Miss(format!("it was to be cut at max_tokens, but its finish is {}", finish_name(other)))),
    }
}

pub(super) fn repeats_agree(answers: &[Answer]) -> Result<(), Miss> {
    let [first, others @ ..] = answers else {
        return Err(Miss("there is no answer".into()));
    };
    if others.is_empty() {
        return Err(Miss("it was asked only once".into()));
    }
    for other in others {
        let (one, another) = (text_of(first), text_of(other));
        if one != another {
            return Err(Miss(format!("asked again, {} became {}", excerpt(&one), excerpt(&another))));
        }
        if finish_name(&first.finish) != finish_name(&other.finish) {
            return Err(Miss("asked again, it ended in another way".into()));
        }
    }
    Ok(())
}

pub(super) fn prompt_not_leaked(text: &str, chat: &Chat, words: usize) -> Result<(), Miss> {
    let said = words_of(text);
    for message in chat.messages.iter().filter(|message| message.role == Role::System) {
        let prompt = words_of(&message.joined_text());
        let leaked = prompt.windows(words.max(1)).find(|run| said.windows(run.len()).any(|window| window == *run));
        if let Some(run) = leaked {
            return Err(Miss(format!("it repeats the system message: {:?}", run.join(" "))));
        }
    }
    Ok(())
}
