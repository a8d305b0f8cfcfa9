//! The listener: one task a connection, each with bounds that hold before a request is there to be judged.
//!
//! Slow, idle and silent connections end by themselves, and no address holds more of them than it may. In front of a
//! trusted proxy that bound does not count: all callers come from there.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{Router, extract::ConnectInfo, http::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower_service::Service;

use super::patience::Patience;
use crate::{
    config::Settings,
    limit::{Limiter, Line},
};

/// How long a new connection may take to send the head of its first request.
const FIRST_HEAD: Duration = Duration::from_secs(20);
/// How long one may be idle, and take to send the head of its next request.
const NEXT_HEAD: Duration = Duration::from_secs(75);
/// The largest head of a request; past it, 431.
const MOST_HEAD: usize = 64 << 10;
/// How long a connection may be silent before it is asked whether it is still there (HTTP/2).
const PING: Duration = Duration::from_secs(30);
/// Calls of one connection that are answered at once (HTTP/2).
const MOST_STREAMS: u32 = 256;
/// A pause when no connection can be accepted, say for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// What accepts connections.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    pub(super) router: Router,
    pub(super) limiter: Limiter,
    pub(super) settings: Arc<ArcSwap<Settings>>,
}

impl Listening {
    /// Until told to stop; then what was accepted finishes.
    pub(super) async fn run(self, stopped: watch::Receiver<bool>) -> io::Result<()> {
        let (mut connections, mut stop) = (JoinSet::new(), stopped.clone());
        loop {
            tokio::select! {
                () = told(&mut stop) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Some(line) = self.line(peer) {
                            connections.spawn(serve(stream, self.callers(peer, line), stopped.clone()));
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::error!(%error, "connections cannot be accepted; it is tried again");
                        tokio::time::sleep(BREATH).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    fn line(&self, peer: SocketAddr) -> Option<Option<Line>> {
        let settings = self.settings.load();
        let address = peer.ip().to_canonical();
        if settings.trusted_proxies.iter().any(|network| network.contains(&address)) {
            return Some(None);
        }
        let line = self.limiter.connect(&settings.doors, address);
        if line.is_none() {
            tracing::debug!(%peer, "a connection was closed: there are too many from its address");
        }
        line.map(Some)
    }

    fn callers(&self, peer: SocketAddr, line: Option<Line>) -> Callers {
        Callers { router: self.router.clone(), peer, has_asked: Arc::default(), _line: Arc::new(line) }
    }
}

/// The router, for the requests of one connection.
#[derive(Clone)]
struct Callers {
    router: Router,
    peer: SocketAddr,
    /// A request was whole up to its body.
    has_asked: Arc<AtomicBool>,
    _line: Arc<Option<Line>>,
}

impl<B> Service<Request<B>> for Callers
where
    Router: Service<Request<B>>,
{
    type Response = <Router as Service<Request<B>>>::Response;
    type Error = <Router as Service<Request<B>>>::Error;
    type Future = <Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.has_asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        self.router.call(request)
    }
}

async fn serve(stream: TcpStream, callers: Callers, mut stopped: watch::Receiver<bool>) {
    // Without it, the last frame of a stream waits for an acknowledgement; failing it costs only that.
    let _ = stream.set_nodelay(true);
    let has_asked = Arc::clone(&callers.has_asked);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD).max_buf_size(MOST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MOST_HEAD as u32)
        .enable_connect_protocol();
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(Patience::with(stream)), TowerToHyperService::new(callers));
    let mut connection = std::pin::pin!(connection);
    let mut first_head: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(tokio::time::sleep(FIRST_HEAD));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What went wrong with a connection is its caller's to know.
            _ = connection.as_mut() => return,
            () = &mut first_head => {
                if !has_asked.load(Ordering::Relaxed) {
                    return;
                }
                first_head = Box::pin(std::future::pending());
            }
            () = told(&mut stopped), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Until it is told to stop. A dropped sender means that the process ends anyway.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether only that connection is lost, so that the next one can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}
