//! All of a model but its weights: what it is, how it reads and writes text, and how its prompts begin.

use std::num::NonZeroUsize;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::chat::{Chat, Message, Role};
use crate::device::Device;
use crate::files::{Capabilities, ModelFiles};
use crate::load::{self, Header, Identity, LoadError, LoadFault};
use crate::template::ChatTemplate;
use crate::token::Vocabulary;

pub(super) struct Model {
    pub id: String,
    pub identity: Identity,
    pub vocabulary: Arc<Vocabulary>,
    pub template: ChatTemplate,
    /// What prompts begin with before anything that a caller says; empty where the template cannot tell.
    pub opening: Vec<u32>,
    pub capabilities: Capabilities,
    pub context_tokens: NonZeroUsize,
}

impl Model {
    pub(super) fn open(
        files: &ModelFiles,
        header: &Header,
        context_limit: Option<u32>,
        device: Device,
    ) -> Result<Self, LoadError> {
        let identity = load::identity(files, header, device)?;
        let vocabulary = Vocabulary::load(files, header)?;
        let controls = vocabulary.control_texts().map(str::to_owned).collect();
        let source = load::chat_template(files, header)?;
        let template = ChatTemplate::parse(source, vocabulary.bos_text(), vocabulary.eos_text(), controls)
            .map_err(|source| LoadError::new(&files.weights, LoadFault::Template(source)))?;
        let opening = opening(&template, &vocabulary, OffsetDateTime::now_utc());
        let context = load::context_tokens(files, header).min(context_limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(Self {
            id: files.id.clone(),
            identity,
            vocabulary: Arc::new(vocabulary),
            template,
            opening,
            capabilities: files.capabilities,
            context_tokens: NonZeroUsize::new(context).unwrap_or(NonZeroUsize::MIN),
        })
    }
}

/// The tokens with which the prompts of any two messages begin alike: what the template writes before them.
fn opening(template: &ChatTemplate, vocabulary: &Vocabulary, now: OffsetDateTime) -> Vec<u32> {
    let of = |text: &str| {
        let messages = vec![Message::text(Role::User, text.to_owned())];
        let prompt = template.render(&Chat { messages, ..Chat::default() }, &[], now).ok()?;
        vocabulary.encode_prompt(&prompt.text, prompt.guard).ok()
    };
    let (Some(mut one), Some(other)) = (of("A"), of("7")) else { return Vec::new() };
    let alike = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    one.truncate(alike);
    one
}
