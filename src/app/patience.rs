//! A connection whose other end takes nothing any more: it is given up after a while, so that it does not stand for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long the other end may take no byte while there are some for it.
const STALL: Duration = Duration::from_secs(60);

/// A stream whose writes fail once they have stood still for a while.
#[derive(Debug)]
pub(super) struct Patience<S> {
    stream: S,
    stall: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    pub(super) fn with(stream: S) -> Self {
        Self { stream, stall: STALL, stalled: None }
    }

    /// Passes a write's result on, unless it has waited too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let stall = self.stall;
        let until = || Box::pin(sleep_until(Instant::now() + stall));
        ready!(self.stalled.get_or_insert_with(until).as_mut().poll(context));
        self.stalled = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up_and_who_takes_little_is_not() {
        let (mut near, far) = tokio::io::duplex(16);
        let mut far = Patience { stall: Duration::from_millis(50), ..Patience::with(far) };
        far.write_all(&[7; 16]).await.expect("there is room");
        let error = far.write_all(&[7; 16]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        // One that takes a byte now and then may take as long as it likes in all.
        far.stall = Duration::from_secs(30);
        let drip = tokio::spawn(async move {
            let mut byte = [0];
            for _ in 0..16 {
                tokio::task::yield_now().await;
                near.read_exact(&mut byte).await.expect("there is something");
            }
            near
        });
        far.write_all(&[7; 8]).await.expect("a byte now and then is enough");
        drip.await.expect("runs");
    }
}
