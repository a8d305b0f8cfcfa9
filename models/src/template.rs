//! From a chat to the prompt that the model was trained on, by the model's own chat template.
//!
//! The template is Jinja as `transformers` runs it: blocks are trimmed, Python's methods work, and `raise_exception`,
//! `strftime_now` and a `tojson` that does not escape for HTML are there. What a caller wrote can never steer the model:
//! every control token's text in it is guarded ([`guard`]) before the template sees it.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value};
use time::OffsetDateTime;
use time::format_description::parse_strftime_borrowed;

use crate::chat::{Chat, Tool};

mod guard;
mod json;
mod messages;

use guard::Guard;
pub(crate) use messages::Unsayable;

/// A parsed chat template.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    tools: ToolSupport,
    bos: String,
    eos: String,
    controls: Vec<String>,
}

/// Who tells the model of its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToolSupport {
    /// The template, in the `<tool_call>` convention that the engine reads.
    Native,
    /// The engine, in a system message.
    Described,
}

/// A rendered prompt. `guard` stands in it wherever a caller's text would otherwise be a control token.
pub(crate) struct Prompt {
    pub text: String,
    pub guard: char,
}

/// The chat cannot be put to this model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error(transparent)]
    Unsayable(#[from] Unsayable),
    #[error("the model's chat template refused the conversation: {0}")]
    Template(#[source] Error),
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Parses `source`. `controls` are the texts of all control tokens.
    pub(crate) fn parse(source: &str, bos: &str, eos: &str, controls: Vec<String>) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_owned())?;
        let reads_tools = environment.get_template(NAME)?.undeclared_variables(false).contains("tools");
        let tools =
            if reads_tools && source.contains("<tool_call>") { ToolSupport::Native } else { ToolSupport::Described };
        Ok(Self { environment, tools, bos: bos.to_owned(), eos: eos.to_owned(), controls })
    }

    /// Renders the prompt up to where the assistant begins to speak. `tools` are those that the model may call, which need
    /// not be all of the chat's.
    pub(crate) fn render(&self, chat: &Chat, tools: &[Tool], now: OffsetDateTime) -> Result<Prompt, RenderError> {
        let mut environment = self.environment.clone();
        environment.add_function("strftime_now", move |format: String| strftime(now, &format));
        // One guard serves the whole prompt, so it must be in none of its texts.
        let guard = Guard::choose(&self.controls, |candidate| messages::mentions(chat, tools, candidate))
            .ok_or(Unsayable::Unicode)?;
        let messages = messages::values(chat, tools, self.tools, &guard)?;
        let tools = match self.tools {
            ToolSupport::Native if !tools.is_empty() => tools.iter().map(|tool| messages::tool(tool, &guard)).collect(),
            _ => Value::from(()),
        };
        let context = Value::from_pairs([
            ("messages", messages),
            ("tools", tools),
            ("add_generation_prompt", Value::from(true)),
            ("bos_token", Value::from(self.bos.as_str())),
            ("eos_token", Value::from(self.eos.as_str())),
        ]);
        let text = environment
            .get_template(NAME)
            .and_then(|template| template.render(context))
            .map_err(RenderError::Template)?;
        Ok(Prompt { text, guard: guard.mark() })
    }
}

fn strftime(now: OffsetDateTime, format: &str) -> Result<String, Error> {
    let wrong = |error: String| Error::new(ErrorKind::InvalidOperation, error);
    let items = parse_strftime_borrowed(format).map_err(|error| wrong(error.to_string()))?;
    now.format(&items).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests;
