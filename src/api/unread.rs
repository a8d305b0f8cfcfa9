//! A stream whose caller may not read it: it is ended from outside when its time is over.
//!
//! A body is only asked for its next bytes when the last ones were taken, so a caller who stops reading would stop its call's own clock
//! with it, and hold its place, its money and the vendor's connection for ever.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{Stream, stream::BoxStream};
use tokio::task::JoinHandle;

type Inner = Mutex<Option<BoxStream<'static, Bytes>>>;

/// Ends at `until` at the latest: with an error, so that what was cut does not look whole.
pub(super) struct Unread {
    inner: Arc<Inner>,
    watch: JoinHandle<()>,
}

impl Unread {
    pub(super) fn new(stream: BoxStream<'static, Bytes>, until: Instant) -> Self {
        let inner: Arc<Inner> = Arc::new(Mutex::new(Some(stream)));
        let watched = Arc::downgrade(&inner);
        let watch = tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            if let Some(inner) = watched.upgrade() {
                // Dropped without the lock: it settles its call.
                let unread = lock(&inner).take();
                drop(unread);
            }
        });
        Self { inner, watch }
    }
}

impl Stream for Unread {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match lock(&self.inner).as_mut() {
            Some(stream) => stream.as_mut().poll_next(context).map(|next| next.map(Ok)),
            None => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut)))),
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn lock(inner: &Inner) -> MutexGuard<'_, Option<BoxStream<'static, Bytes>>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{StreamExt as _, stream};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn one_that_nobody_reads_is_dropped_in_time_and_does_not_end_as_if_it_were_whole() {
        let (held, gone) = oneshot::channel::<()>();
        let inner = stream::unfold(held, |held| async move { Some((Bytes::from_static(b"more"), held)) });
        let mut unread = Unread::new(Box::pin(inner), Instant::now() + Duration::from_millis(20));
        assert_eq!(unread.next().await.expect("goes on").expect("is whole so far"), "more");
        // Its caller reads no further; what it holds is given back all the same.
        assert!(gone.await.is_err(), "is dropped");
        assert!(unread.next().await.expect("says so").is_err());
    }

    #[tokio::test]
    async fn one_that_is_read_ends_as_it_would() {
        let inner = stream::iter([Bytes::from_static(b"all")]);
        let all: Vec<_> = Unread::new(Box::pin(inner), Instant::now() + Duration::from_secs(60)).collect().await;
        assert!(matches!(all.as_slice(), [Ok(bytes)] if bytes == "all"));
    }
}
