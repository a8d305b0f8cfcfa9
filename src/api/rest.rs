//! What is left of a body that is refused. Whoever is cut off while it sends reads of a broken connection, and tries again, where it
//! should read why it was refused; so what comes is taken and dropped first, within bounds.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;

/// So much is taken however small the bound is, in bytes, and for so long at most; a caller who sends more is cut off.
const LEAST: usize = 8 << 20;
const MOST_TIME: Duration = Duration::from_secs(5);

/// Takes what is left of `body`, of which `bound` bytes were allowed, and drops it: up to twice as many.
pub async fn discard(body: &mut BodyDataStream, bound: usize) {
    let most = bound.saturating_mul(2).max(LEAST);
    let mut taken = 0;
    let taking = async {
        while let Some(Ok(chunk)) = body.next().await {
            taken += chunk.len();
            if taken > most {
                return;
            }
        }
    };
    // Late or whole, the answer is the same.
    let _ = tokio::time::timeout(MOST_TIME, taking).await;
}
