//! `tokenizer:` of vendors and models: what prompts are counted by.

use super::Resolver;
use crate::{
    config::{Settings, Tokenizer, Tokenizers, path::Path, raw, words},
    domain::{TargetId, VendorId},
};

const NAMES: [&str; 3] = ["o200k", "cl100k", "estimate"];

impl Resolver<'_, '_> {
    /// Once all routes are read: a local model's tokenizer is there where a route has the model.
    pub(super) fn tokenizers(&mut self, file: &raw::File, settings: &Settings) -> Tokenizers {
        let local = settings.local_models();
        let mut said = Tokenizers::default();
        for (name, vendor) in file.vendors.iter().flatten() {
            let path = Path::root().key("vendors").key(name.as_str()).key("tokenizer");
            let tokenizer = vendor.tokenizer.as_deref().and_then(|text| self.tokenizer(&path, text, &local));
            said.by_vendor.extend(tokenizer.map(|tokenizer| (VendorId::new(name), tokenizer)));
        }
        for (name, model) in file.models.iter().flatten() {
            let path = Path::root().key("models").key(name.as_str()).key("tokenizer");
            let tokenizer = model.tokenizer.as_deref().and_then(|text| self.tokenizer(&path, text, &local));
            // A name that is none has been reported.
            said.by_target.extend(TargetId::parse(name).zip(tokenizer));
        }
        said
    }

    fn tokenizer(&mut self, path: &Path, text: &str, local: &[&str]) -> Option<Tokenizer> {
        match Tokenizer::parse(text) {
            Some(Tokenizer::Local(model)) if !local.contains(&&*model) => {
                let message = format!("no route names `local/{}`, so its tokenizer is not loaded", words::cut(&model));
                let help = match local {
                    [] => "name the model in a route, or take `estimate`".to_owned(),
                    local => format!("routes name {}", words::one_of(local.iter().copied())),
                };
                self.error(path, message, help);
                None
            }
            Some(tokenizer) => Some(tokenizer),
            None => {
                let message = format!("unknown tokenizer `{}`", words::cut(text));
                let help = match words::nearest(text, NAMES) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "expected `o200k`, `cl100k`, `estimate`, or `local:` and a local model's id".to_owned(),
                };
                self.error(path, message, help);
                None
            }
        }
    }
}
