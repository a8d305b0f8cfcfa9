//! Addresses on loopback where no vendor is: those that swallow a connection, and those that speak something else.

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

/// A listener whose queue is full: the kernel lets a connection attempt wait for ever.
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    pub async fn dig() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has a free port");
        let listener = socket.listen(1).expect("a bound socket can listen");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut queued = Vec::new();
        // Nobody accepts, so the queue is full when a connection no longer comes to stand.
        while let Ok(connected) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(connected.expect("a queue with room takes a connection"));
            assert!(queued.len() < 64, "the kernel keeps to the backlog");
        }
        Self { address, _listener: listener, _queued: queued }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Answers whatever comes first with the same bytes and closes.
pub struct Blunt {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Blunt {
    pub async fn saying(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut ignored = [0; 4096];
                // One that hangs up first is none of its business.
                if stream.read(&mut ignored).await.is_ok() {
                    let _ = stream.write_all(bytes).await;
                }
            }
        });
        Self { address, task }
    }

    /// The same port over TLS, which it does not speak.
    pub fn https_url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Blunt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Speaks TLS with a certificate that nobody has vouched for.
pub struct SelfSigned {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl SelfSigned {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let config = Arc::new(self_signed());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // A client that hangs up is what is hoped for.
                connections.spawn(shake(stream, Arc::clone(&config)));
            }
        });
        Self { address, task }
    }

    pub fn https_url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for SelfSigned {
    fn drop(&mut self) {
        self.task.abort();
    }
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
