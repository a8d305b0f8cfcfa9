//! What is left of a body that is refused. Whoever is cut off while it sends reads of a broken connection, and tries again, where it
//! should read why it was refused; so what comes is taken and dropped first, within bounds.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;

/// So much is taken, for so long; a caller who sends more is cut off.
const MOST_BYTES: usize = 64 << 20;
const MOST_TIME: Duration = Duration::from_secs(2);

/// Takes what is left of `body` and drops it.
pub async fn discard(body: &mut BodyDataStream) {
    let mut taken = 0;
    let taking = async {
        while let Some(Ok(chunk)) = body.next().await {
            taken += chunk.len();
            if taken > MOST_BYTES {
                return;
            }
        }
    };
    // Late or whole, the answer is the same.
    let _ = tokio::time::timeout(MOST_TIME, taking).await;
}
