//! What has to be measured for a check, and the name under which the measurement is kept.
//!
//! The same function says it to the run, which measures, and to whoever judges from the record: so a measurement counts for nothing
//! but what it was taken of.

use backstop_models::chat::{Answer, Chat, Part, Role};
use serde_json::{Value, json};

use super::{Court, judge};
use crate::{
    digest::sha256_hex_of_parts,
    score::{Check, External, Rubric, finish_name, text_of},
    suite::Item,
};

/// One measurement to be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// A digest over all that it depends on, but for the subject itself.
    pub key: String,
    pub ask: Ask,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Of each continuation after the context.
    Likelihoods {
        context: String,
        continuations: Vec<String>,
    },
    Similarity {
        answer: String,
        references: Vec<String>,
    },
    /// One question for a grade, two for a pair.
    Judge(Vec<Chat>),
    /// A request of the scorers' protocol.
    Score {
        scorer: String,
        request: Value,
    },
}

/// What `check` needs of the `ask`th answer, or of no answer.
///
/// # Errors
/// It cannot be measured, and why: for people.
pub fn wanted(check: &Check, court: Court<'_>, ask: usize, answer: Option<&Answer>) -> Result<Wanted, String> {
    let text = answer.map(text_of).unwrap_or_default();
    match check {
        Check::Likeliest(likeliest) => {
            let continuations = likeliest.choices.iter().map(|choice| format!("{}{choice}", likeliest.delimiter));
            Ok(likelihoods(court.item, continuations.collect()))
        }
        Check::ContinuesWith(wanted) => Ok(likelihoods(court.item, vec![wanted.text.clone()])),
        Check::Similar(similar) => {
            let embedder = court.referees.embedder.as_ref().ok_or("there is no embedding model to compare it with")?;
            let mut parts = vec!["similarity".to_owned(), embedder.digest(), text.clone()];
            parts.extend(similar.references.iter().cloned());
            Ok(Wanted {
                key: key(&parts),
                ask: Ask::Similarity { answer: text, references: similar.references.clone() },
            })
        }
        Check::Judge(rubric) => judged(rubric, court, &text),
        Check::External(external) => {
            let request = request(external, court, ask, answer);
            let scorer = court.referees.scorers.get(&external.scorer);
            let scorer = scorer.ok_or_else(|| format!("there is no scorer `{}`", external.scorer))?;
            let parts = ["external".to_owned(), external.scorer.clone(), scorer.sha256.clone(), request.to_string()];
            Ok(Wanted { key: key(&parts), ask: Ask::Score { scorer: external.scorer.clone(), request } })
        }
        _ => Err("it needs no measurement".into()),
    }
}

fn likelihoods(item: &Item, continuations: Vec<String>) -> Wanted {
    let context: String = item.messages.iter().map(|message| message.joined_text()).collect();
    let mut parts = vec!["likelihoods".to_owned(), context.clone()];
    parts.extend(continuations.iter().cloned());
    Wanted { key: key(&parts), ask: Ask::Likelihoods { context, continuations } }
}

fn judged(rubric: &Rubric, court: Court<'_>, text: &str) -> Result<Wanted, String> {
    let rules = court.suite.judge.as_ref().ok_or("the suite has no `judge`")?;
    let judge = &court.referees.judge.as_ref().ok_or("there is no judge")?.identity;
    let question = &court.item.messages;
    let asks = match rubric {
        Rubric::Grade(graded) => {
            judge::grade(rules, question, (graded.criterion.as_deref(), graded.reference.as_deref()), text)
        }
        Rubric::Pair(rivals) => judge::pair(rules, question, rivals.criterion.as_deref(), (text, &rivals.other)),
    };
    let mut parts = vec!["judge".to_owned(), judge.target.clone(), judge.key.clone(), judge.prompt_sha256.clone()];
    parts.extend(asks.iter().flat_map(|chat| &chat.messages).map(|message| message.joined_text()));
    Ok(Wanted { key: key(&parts), ask: Ask::Judge(asks) })
}

/// A line of the scorers' protocol, but for its id.
fn request(external: &External, court: Court<'_>, ask: usize, answer: Option<&Answer>) -> Value {
    let messages: Vec<Value> = court
        .item
        .messages
        .iter()
        .map(|message| {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            };
            let content: String = message
                .content
                .iter()
                .map(|part| match part {
                    Part::Text(text) | Part::Refusal(text) => text.clone(),
                    Part::ToolResult(result) => result
                        .content
                        .iter()
                        .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
                        .collect(),
                    _ => String::new(),
                })
                .collect();
            let calls = calls(&message.content);
            if calls.is_empty() {
                return json!({ "role": role, "content": content });
            }
            json!({ "role": role, "content": content, "tool_calls": calls })
        })
        .collect();
    let said = answer.map(|answer| {
        json!({
            "text": text_of(answer),
            "finish": finish_name(&answer.finish),
            "tool_calls": calls(&answer.content),
        })
    });
    json!({
        "protocol": "backstop-scorer/1",
        "suite": court.suite.name(),
        "item": court.item.id,
        "ask": ask,
        "messages": messages,
        "answer": said,
        "parameters": external.parameters,
    })
}

fn calls(content: &[Part]) -> Vec<Value> {
    let call = |part: &Part| match part {
        Part::ToolCall(call) => Some(json!({ "name": call.name, "arguments": call.arguments })),
        _ => None,
    };
    content.iter().filter_map(call).collect()
}

fn key(parts: &[String]) -> String {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    sha256_hex_of_parts(&parts)
}
