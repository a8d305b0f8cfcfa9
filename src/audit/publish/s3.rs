//! A checkpoint as an object of S3: put only where there is none of that name (a conditional write), and one that is there is read back,
//! because another tree of the same size is a fork.

use reqwest::Client;

use super::{super::Checkpoint, Failure, same_tree};
use crate::vault::s3::{Object, Over};

/// The most that is read of an object, in bytes: a note with its cosignatures is far shorter.
const MOST: usize = 64 << 10;
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn put(client: &Client, object: Object<'_>, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let response = object.put(client, (TEXT, checkpoint.note.as_bytes()), Over::Never).await?;
    match response.status().as_u16() {
        200..300 => Ok(()),
        // Somebody put one there: we did, before a crash perhaps.
        409 | 412 => is_the_same(client, object, checkpoint).await,
        status => Err(Failure::Status(status)),
    }
}

async fn is_the_same(client: &Client, object: Object<'_>, checkpoint: &Checkpoint) -> Result<(), Failure> {
    let mut response = object.get(client).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(Failure::Status(status.as_u16()));
    }
    let mut there = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Unreachable)? {
        if there.len() + chunk.len() > MOST {
            return Err(Failure::Forked);
        }
        there.extend_from_slice(&chunk);
    }
    match std::str::from_utf8(&there).is_ok_and(|note| same_tree(note, checkpoint)) {
        true => Ok(()),
        false => Err(Failure::Forked),
    }
}
