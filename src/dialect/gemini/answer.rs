//! A whole `generateContent` answer → [`Answer`]: a stream's only chunk.

use backstop_models::chat::{Answer, Fold};

use super::Reader;
use crate::dialect::ReadError;

pub(in crate::dialect) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let text = std::str::from_utf8(body).map_err(|_| ReadError::Malformed { why: "it is not UTF-8".into() })?;
    let mut events = Vec::new();
    let candidates = Reader::default().read_chunk(text, &mut events)?;
    let mut fold = Fold::default();
    events.into_iter().for_each(|event| fold.push(event));
    match fold.into_answer() {
        Some(answer) => Ok(answer),
        None if candidates == 0 => Err(ReadError::Empty),
        None => Err(ReadError::NoFinish),
    }
}
