//! Embeddings: OpenAI's form in, whatever a vendor has out, and OpenAI's form back.
//!
//! A vendor of OpenAI's form gets the caller's own bytes and its answer goes back as it came, once it has been looked
//! through: as many embeddings as inputs, each in its place, none empty, all of one dimension, which is the one that was
//! asked for. An answer that fails that is a vendor's fault and reaches nobody.

mod vendors;

pub use vendors::{read_embeddings, write_embed};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{
    BadRequest, Envelope, ReadError, Reply,
    envelope::MAX_FIELDS,
    object::{Field, Object},
};

/// OpenAI's bound.
const MOST_TEXTS: usize = 2048;

/// What is to be embedded, as far as the gateway and vendors of other forms must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedRequest {
    pub input: EmbedInput,
    /// How long each embedding is to be; at least 1.
    pub dimensions: Option<u32>,
    pub encoding: Encoding,
    /// Cohere's: what the embeddings are for. No field of OpenAI's.
    pub input_type: Option<String>,
    /// A field that only vendors of OpenAI's form may understand.
    foreign: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedInput {
    Texts(Vec<String>),
    /// So many texts as tokens of the vendor's own vocabulary, which nobody else has.
    Tokens(usize),
}

/// How an embedding is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Float,
    /// Little-endian 32-bit floats.
    Base64,
}

/// An answer that was looked through.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// In the order of the inputs; none empty, all equally long.
    pub vectors: Vec<Vec<f32>>,
    /// `None`: the vendor did not say.
    pub input_tokens: Option<u64>,
    /// Whether the vendor wrote them as the caller wants them.
    pub as_asked: bool,
}

impl EmbedRequest {
    /// How many embeddings the answer must have.
    pub fn count(&self) -> usize {
        match &self.input {
            EmbedInput::Texts(texts) => texts.len(),
            EmbedInput::Tokens(count) => *count,
        }
    }
}

impl EmbedRequest {
    /// The texts for a model of our own. What it cannot do is refused by name.
    pub fn own_texts(&self) -> Result<&[String], BadRequest> {
        let refused = |field: &str, why: &str| Err(BadRequest::unsupported(field.to_owned(), why));
        if let Some(field) = &self.foreign {
            return refused(field, "the local model does not know it");
        }
        if self.input_type.is_some() {
            return refused("input_type", "the local model embeds all texts alike");
        }
        match &self.input {
            EmbedInput::Texts(texts) if texts.len() <= MOST_TEXTS => Ok(texts),
            EmbedInput::Texts(_) => refused("input", &format!("it embeds at most {MOST_TEXTS} texts at once")),
            EmbedInput::Tokens(_) => {
                refused("input", "tokens are numbers of one vendor's vocabulary, and it is another's")
            }
        }
    }
}

/// Reads an embeddings request: what routing must know of it, and what is to be embedded. Fields that OpenAI does not have
/// are for the vendor to judge, where it speaks OpenAI's form.
pub fn open_embed(body: &[u8]) -> Result<(Envelope, EmbedRequest), BadRequest> {
    let text = std::str::from_utf8(body).map_err(|_| BadRequest::body("the body is not valid UTF-8".into()))?;
    let mut fields = Object::root(body)?;
    if fields.len() > MAX_FIELDS {
        return Err(BadRequest::body(format!("the body has more than {MAX_FIELDS} fields")));
    }
    if let Some(name) = fields.repeated() {
        return Err(BadRequest::invalid(name, "stands twice; send it once"));
    }
    let model = fields.require("model")?;
    let model_at = model.range_in(text);
    let model = model.string()?;
    if model.is_empty() {
        return Err(BadRequest::invalid("model".into(), "must not be empty"));
    }
    let input = read_input(fields.require("input")?)?;
    let dimensions = fields.take("dimensions").map(Field::positive).transpose()?;
    let encoding = match fields.string("encoding_format")?.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(_) => return Err(BadRequest::invalid("encoding_format".into(), "must be `float` or `base64`")),
    };
    let user = fields.string("user")?;
    let input_type = fields.string("input_type")?;
    let foreign = fields.into_fields().into_iter().next().map(|(name, _)| name.into_owned());
    let envelope = Envelope::plain(model, model_at, user);
    Ok((envelope, EmbedRequest { input, dimensions, encoding, input_type, foreign }))
}

/// A string, strings, tokens, or lists of tokens.
fn read_input(input: Field<'_>) -> Result<EmbedInput, BadRequest> {
    if input.is_string() {
        return Ok(EmbedInput::Texts(vec![input.string()?]));
    }
    let items = input.list()?;
    let Some(first) = items.first() else {
        return Err(BadRequest::invalid("input".into(), "must have at least one input"));
    };
    if first.is_string() {
        return Ok(EmbedInput::Texts(items.into_iter().map(Field::string).collect::<Result<_, _>>()?));
    }
    if first.json().starts_with('[') {
        let count = items.len();
        for item in items {
            let path = item.path.clone();
            let tokens = item.list()?;
            if tokens.is_empty() {
                return Err(BadRequest::invalid(path, "must have at least one token"));
            }
            read_tokens(tokens)?;
        }
        return Ok(EmbedInput::Tokens(count));
    }
    read_tokens(items)?;
    Ok(EmbedInput::Tokens(1))
}

fn read_tokens(tokens: Vec<Field<'_>>) -> Result<(), BadRequest> {
    tokens.into_iter().try_for_each(|token| token.integer().map(drop))
}

/// The answer in OpenAI's form, written as `encoding` says. Tokens that the vendor did not count are 0.
pub fn write_embeddings(embeddings: &Embeddings, encoding: Encoding, as_: &Reply<'_>) -> Vec<u8> {
    let tokens = embeddings.input_tokens.unwrap_or(0);
    let data = embeddings.vectors.iter().enumerate().map(|(index, vector)| Item {
        object: "embedding",
        index,
        embedding: match encoding {
            Encoding::Float => Written::Float(vector),
            Encoding::Base64 => Written::Base64(to_base64(vector)),
        },
    });
    let answer = Answer {
        object: "list",
        data: data.collect(),
        model: as_.model,
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
    };
    serde_json::to_vec(&answer).expect("numbers and strings are always JSON")
}

fn to_base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// `None` for what is not base64 of whole 32-bit floats.
fn from_base64(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Item<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Item<'a> {
    object: &'static str,
    index: usize,
    embedding: Written<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// What holds for every answer, whoever gave it.
fn checked(vectors: Vec<Vec<f32>>, request: &EmbedRequest) -> Result<Vec<Vec<f32>>, ReadError> {
    let Some(first) = vectors.first() else { return Err(ReadError::Empty) };
    let malformed = |why: String| Err(ReadError::Malformed { why });
    if vectors.len() != request.count() {
        return malformed(format!("it has {} embeddings for {} inputs", vectors.len(), request.count()));
    }
    let dimension = first.len();
    if vectors.iter().any(Vec::is_empty) {
        return Err(ReadError::Empty);
    }
    if vectors.iter().any(|vector| vector.len() != dimension) {
        return malformed("its embeddings are of different dimensions".into());
    }
    if request.dimensions.is_some_and(|asked| asked as usize != dimension) {
        return malformed(format!("its embeddings have {dimension} dimensions, which is not what was asked for"));
    }
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return malformed("an embedding has a number that is none".into());
    }
    Ok(vectors)
}
