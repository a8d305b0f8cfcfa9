//! What each vendor's API calls an embeddings request and its answer.
//!
//! Cohere: `POST /v2/embed` (<https://docs.cohere.com/reference/embed>); Gemini: `models.batchEmbedContents`
//! (<https://ai.google.dev/api/embeddings>).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EmbedInput, EmbedRequest, Embeddings, Encoding, checked, from_base64};
use crate::dialect::{BadRequest, ReadError, Wire, counts};

/// The most texts that Cohere embeds at once.
const COHERE_TEXTS: usize = 96;
/// The most texts that Gemini embeds at once.
const GEMINI_TEXTS: usize = 100;

/// The request for a vendor that does not speak OpenAI's form. What it cannot carry is refused by name.
pub fn write_embed(wire: Wire, request: &EmbedRequest, model: &str) -> Result<Vec<u8>, BadRequest> {
    if let Some(field) = &request.foreign {
        return Err(BadRequest::unsupported(field.clone(), "it cannot be carried there"));
    }
    let EmbedInput::Texts(texts) = &request.input else {
        let why = "tokens are numbers of one vendor's vocabulary, and it is another's";
        return Err(BadRequest::unsupported("input".into(), why));
    };
    let at_most = |most: usize| match texts.len() <= most {
        true => Ok(()),
        false => Err(BadRequest::unsupported("input".into(), &format!("it embeds at most {most} texts at once"))),
    };
    match wire {
        Wire::CohereChat => {
            at_most(COHERE_TEXTS)?;
            Ok(to_json(&CohereRequest {
                model,
                texts,
                input_type: request.input_type.as_deref().unwrap_or("search_document"),
                embedding_types: ["float"],
                output_dimension: request.dimensions,
                truncate: "NONE",
            }))
        }
        Wire::Gemini => {
            if request.input_type.is_some() {
                return Err(BadRequest::unsupported("input_type".into(), "it cannot be carried there"));
            }
            at_most(GEMINI_TEXTS)?;
            let model = if model.contains('/') { Cow::Borrowed(model) } else { Cow::Owned(format!("models/{model}")) };
            let one = |text| GeminiOne {
                model: &model,
                content: GeminiContent { parts: [GeminiPart { text }] },
                output_dimensionality: request.dimensions,
            };
            Ok(to_json(&GeminiRequest { requests: texts.iter().map(|text| one(text)).collect() }))
        }
        Wire::OpenaiChat
        | Wire::OpenaiCompletions
        | Wire::OpenaiResponses
        | Wire::AnthropicMessages
        | Wire::BedrockConverse => {
            let message = "embeddings are not made by the target that was to answer".to_owned();
            Err(BadRequest { message, param: None, code: Some(BadRequest::UNSUPPORTED) })
        }
    }
}

/// Reads and checks an answer. It is a fault when it is not whole.
pub fn read_embeddings(wire: Wire, body: &[u8], request: &EmbedRequest) -> Result<Embeddings, ReadError> {
    if body.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    let error_object = || match serde_json::from_slice::<Failed<'_>>(body) {
        Ok(Failed { error: Some(_) }) => ReadError::error_object(wire, body),
        _ => ReadError::Empty,
    };
    match wire {
        Wire::CohereChat => {
            let read: CohereAnswer = parse(body)?;
            let vectors = read.embeddings.and_then(|types| types.float).ok_or_else(error_object)?;
            let tokens = read.meta.and_then(|meta| meta.billed_units).and_then(|units| units.input_tokens);
            let input_tokens = tokens.filter(|tokens| *tokens >= 0.0).map(|tokens| tokens.ceil() as u64);
            Ok(Embeddings { vectors: checked(vectors, request)?, input_tokens, as_asked: false })
        }
        Wire::Gemini => {
            let read: GeminiAnswer = parse(body)?;
            let vectors = read.embeddings.ok_or_else(error_object)?;
            let vectors = vectors.into_iter().map(|embedding| embedding.values.unwrap_or_default()).collect();
            let input_tokens = read.usage_metadata.and_then(|usage| usage.prompt_token_count);
            Ok(Embeddings { vectors: checked(vectors, request)?, input_tokens, as_asked: false })
        }
        Wire::OpenaiChat
        | Wire::OpenaiCompletions
        | Wire::OpenaiResponses
        | Wire::AnthropicMessages
        | Wire::BedrockConverse => {
            let read: OpenaiAnswer<'_> = parse(body)?;
            let items = read.data.ok_or_else(error_object)?;
            let (vectors, as_asked) = in_order(items, request.encoding)?;
            let input_tokens = read.usage.and_then(|usage| usage.prompt_tokens);
            Ok(Embeddings { vectors: checked(vectors, request)?, input_tokens, as_asked })
        }
    }
}

/// The vectors by their inputs, and whether every one is written as `asked` and stands in its place.
fn in_order(items: Vec<OpenaiItem<'_>>, asked: Encoding) -> Result<(Vec<Vec<f32>>, bool), ReadError> {
    let malformed = |why: &str| ReadError::Malformed { why: why.into() };
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; items.len()];
    let mut as_asked = true;
    for (position, item) in items.into_iter().enumerate() {
        let index = item.index.unwrap_or(position);
        as_asked &= item.index == Some(position);
        let json = item.embedding.get();
        let (vector, encoding) = if json.starts_with('"') {
            let text: Cow<'_, str> = parse(json.as_bytes())?;
            (
                from_base64(&text).ok_or_else(|| malformed("an embedding is no base64 of 32-bit floats"))?,
                Encoding::Base64,
            )
        } else {
            (parse(json.as_bytes())?, Encoding::Float)
        };
        as_asked &= encoding == asked;
        match vectors.get_mut(index) {
            Some(place @ None) => *place = Some(vector),
            _ => return Err(malformed("an embedding's index is no input's, or stands twice")),
        }
    }
    Ok((vectors.into_iter().flatten().collect(), as_asked))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReadError> {
    serde_json::from_slice(body).map_err(|error| ReadError::syntax(&error))
}

fn to_json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("numbers and strings are always JSON")
}

#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OpenaiAnswer<'a> {
    #[serde(borrow)]
    data: Option<Vec<OpenaiItem<'a>>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage: Option<OpenaiUsage>,
}

#[derive(Deserialize)]
struct OpenaiItem<'a> {
    index: Option<usize>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Deserialize)]
struct OpenaiUsage {
    prompt_tokens: Option<u64>,
}

#[derive(Serialize)]
struct CohereRequest<'a> {
    model: &'a str,
    texts: &'a [String],
    input_type: &'a str,
    embedding_types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    /// A text that is too long is an error, as it is at OpenAI, and not cut.
    truncate: &'static str,
}

#[derive(Deserialize)]
struct CohereAnswer {
    embeddings: Option<CohereTypes>,
    #[serde(default, deserialize_with = "counts::read")]
    meta: Option<CohereMeta>,
}

#[derive(Deserialize)]
struct CohereTypes {
    float: Option<Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct CohereMeta {
    billed_units: Option<CohereUnits>,
}

#[derive(Deserialize)]
struct CohereUnits {
    input_tokens: Option<f64>,
}

#[derive(Serialize)]
struct GeminiRequest<'a> {
    requests: Vec<GeminiOne<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GeminiOne<'a> {
    model: &'a str,
    content: GeminiContent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
}

#[derive(Serialize)]
struct GeminiContent<'a> {
    parts: [GeminiPart<'a>; 1],
}

#[derive(Serialize)]
struct GeminiPart<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiAnswer {
    embeddings: Option<Vec<GeminiEmbedding>>,
    #[serde(default, deserialize_with = "counts::read")]
    usage_metadata: Option<GeminiUsage>,
}

#[derive(Deserialize)]
struct GeminiEmbedding {
    values: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiUsage {
    prompt_token_count: Option<u64>,
}
