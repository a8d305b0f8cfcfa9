//! Places on loopback where somebody listens and no vendor is: a connection that never stands, TLS that goes wrong.
//!
//! Each ends when it is dropped.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};

/// Something that listens.
pub struct Place {
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
    /// What keeps the place as it is, where no task does: a socket, what fills a backlog.
    _held: Vec<Box<dyn Send>>,
}

impl Place {
    /// A port where nothing listens, and nothing else will as long as this lives.
    pub fn closed_port() -> Self {
        let (socket, address) = bound();
        Self { address, task: None, _held: vec![Box::new(socket)] }
    }

    /// A listener whose backlog is full: the kernel drops each further attempt to connect.
    pub async fn black_hole() -> Self {
        let (socket, address) = bound();
        let listener = socket.listen(1).expect("a bound socket can listen");
        let mut queued = Vec::new();
        // A connection on loopback stands at once or not at all.
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream);
            assert!(queued.len() < 64, "a backlog of one takes few connections");
        }
        Self { address, task: None, _held: vec![Box::new(listener), Box::new(queued)] }
    }

    /// Answers whatever comes with a plain HTTP 400, as servers answer TLS on their plain-text port.
    pub async fn plain_text() -> Self {
        Self::serve(|mut stream| async move {
            let mut ignored = [0; 4096];
            if stream.read(&mut ignored).await.is_ok() {
                // The other side may be gone by now.
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            }
        })
        .await
    }

    /// Takes connections and bytes, and never says a word.
    pub async fn mute() -> Self {
        Self::serve(|mut stream| async move {
            let mut ignored = [0; 4096];
            while matches!(stream.read(&mut ignored).await, Ok(length) if length > 0) {}
        })
        .await
    }

    /// Speaks TLS with a certificate that nobody has vouched for.
    pub async fn self_signed() -> Self {
        let config = Arc::new(self_signed());
        Self::serve(move |stream| {
            let config = Arc::clone(&config);
            async move {
                // A client that hangs up is what is hoped for.
                let _ = shake(stream, config).await;
            }
        })
        .await
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    async fn serve<F>(how: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(how(stream));
            }
        });
        Self { address, task: Some(task), _held: Vec::new() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn bound() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address)
}

/// A TLS server up to its handshake; what comes after is read and thrown away.
async fn shake(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut buffer = [0; 4096];
    loop {
        while tls.wants_write() {
            let mut out = Vec::new();
            tls.write_tls(&mut out)?;
            stream.write_all(&out).await?;
        }
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let mut input = &buffer[..length];
        while !input.is_empty() {
            tls.read_tls(&mut input)?;
            let handled = tls.process_new_packets();
            if handled.is_err() {
                // The alert that says why.
                let mut out = Vec::new();
                tls.write_tls(&mut out)?;
                return stream.write_all(&out).await;
            }
        }
    }
}

/// For 127.0.0.1, valid for a century, made for this file and used nowhere else: it guards nothing.
fn self_signed() -> ServerConfig {
    let decode = |text: &str| BASE64_STANDARD.decode(text).expect("the constants below are base64");
    let certificate = CertificateDer::from(decode(CERTIFICATE));
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(decode(KEY)));
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the key is the certificate's")
}

const CERTIFICATE: &str = "\
    MIIBkTCCATagAwIBAgIUbzokdOsWZJp6RZCloM8C0300B4YwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2\
    MTEyNTA0MDExOVoYDzIxMjYxMTAxMDQwMTE5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\
    AAQIQE6tYCX1wZNavsYlRiUh3qWMoohVN8/g3BXPbQ/dpw/VUoVe2COAidODuWvcTdkdrpknbgT4eZkDFc7QQxWQo2QwYjAdBgNV\
    HQ4EFgQUbpxwaoq158ZL3oYChnm/YTJRD8MwHwYDVR0jBBgwFoAUbpxwaoq158ZL3oYChnm/YTJRD8MwDwYDVR0TAQH/BAUwAwEB\
    /zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0kAMEYCIQDpGb94G98x1jtpyV4DKY30WWSzUMAHGFYEPIjtubJtYwIhAKDP\
    dy6ZYRdHMWu3wShNqj8xgUmoZTG4mjABi24wKRa0\
    ";

const KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXS3iC6arGMOnH/AEdI2jXynENusdsKpxW78IfB+RYGehRANCAAQI\
    QE6tYCX1wZNavsYlRiUh3qWMoohVN8/g3BXPbQ/dpw/VUoVe2COAidODuWvcTdkdrpknbgT4eZkDFc7QQxWQ\
    ";
