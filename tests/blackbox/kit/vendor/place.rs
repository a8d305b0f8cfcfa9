//! Addresses on loopback where no vendor is: those that swallow a connection, and those that speak something else.

use std::{net::SocketAddr, time::Duration};

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
