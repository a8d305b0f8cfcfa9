//! HTTP/1.1 as bytes: reads one request, writes one reply, or breaks off as told.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{End, Piece, Reply, Seen};

const LARGEST: usize = 64 << 20;

/// One request, or `None` when the caller has closed the connection.
pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<Seen>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if !more(stream, &mut bytes).await? {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (request.next().unwrap_or_default().to_owned(), request.next().unwrap_or_default().to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut rest = bytes.split_off(head + 4);
    let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let body = if value("transfer-encoding") == Some("chunked") {
        chunked(stream, rest).await?
    } else {
        let length = value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while rest.len() < length {
            if !more(stream, &mut rest).await? {
                return Ok(None);
            }
        }
        rest
    };
    Ok(Some(Seen { method, path, headers, body }))
}

/// Writes `reply`. False: the connection is done for.
pub(super) async fn send(stream: &mut TcpStream, reply: Reply) -> io::Result<bool> {
    match reply {
        Reply::Whole { status, headers, body } => {
            let mut out = format!("HTTP/1.1 {status} Reply\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                out.push_str(&format!("{name}: {value}\r\n"));
            }
            out.push_str("\r\n");
            stream.write_all(&[out.as_bytes(), &body].concat()).await?;
            Ok(true)
        }
        Reply::Stream { pieces, end } => send_stream(stream, "text/event-stream", pieces, end).await,
        Reply::StreamOf { media_type, pieces, end } => send_stream(stream, media_type, pieces, end).await,
        Reply::Raw { pieces, end } => send_pieces(stream, Coding::Raw, pieces, end).await,
        Reply::Silence => until_hung_up(stream).await,
        Reply::Reset => {
            // Closing with unsent data thrown away is what makes the kernel send RST.
            stream.set_zero_linger()?;
            Ok(false)
        }
    }
}

async fn send_stream(stream: &mut TcpStream, media_type: &str, pieces: Vec<Piece>, end: End) -> io::Result<bool> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    send_pieces(stream, Coding::Chunked, pieces, end).await
}

/// Whether bytes are put into chunks of HTTP's.
#[derive(Clone, Copy)]
enum Coding {
    Chunked,
    Raw,
}

async fn send_pieces(stream: &mut TcpStream, coding: Coding, pieces: Vec<Piece>, end: End) -> io::Result<bool> {
    for piece in pieces {
        send_piece(stream, coding, piece).await?;
    }
    match (end, coding) {
        (End::Whole, Coding::Chunked) => stream.write_all(b"0\r\n\r\n").await.map(|()| true),
        (End::Whole | End::Cut, _) => Ok(false),
        (End::Silence, _) => until_hung_up(stream).await,
        (End::Reset, _) => {
            stream.set_zero_linger()?;
            Ok(false)
        }
    }
}

/// Says nothing until the other side closes.
async fn until_hung_up(stream: &mut TcpStream) -> io::Result<bool> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(false)
}

async fn send_piece(stream: &mut TcpStream, coding: Coding, piece: Piece) -> io::Result<()> {
    match piece {
        Piece::Text(text) => send_bytes(stream, coding, text.as_bytes()).await?,
        Piece::Bytes(bytes) => send_bytes(stream, coding, &bytes).await?,
        Piece::Pause(how_long) => tokio::time::sleep(how_long).await,
        Piece::Until(told) => told.notified().await,
        Piece::Repeat(text, apart) => loop {
            // Ends with the error of a connection that the other side has closed.
            send_bytes(stream, coding, text.as_bytes()).await?;
            tokio::time::sleep(apart).await;
        },
    }
    Ok(())
}

async fn send_bytes(stream: &mut TcpStream, coding: Coding, bytes: &[u8]) -> io::Result<()> {
    match coding {
        Coding::Chunked => send_chunk(stream, bytes).await,
        Coding::Raw => stream.write_all(bytes).await,
    }
}

async fn send_chunk(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let head = format!("{:x}\r\n", bytes.len());
    stream.write_all(&[head.as_bytes(), bytes, b"\r\n"].concat()).await?;
    stream.flush().await
}

async fn chunked(stream: &mut TcpStream, mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        while find(&bytes, b"\r\n").is_none() {
            if !more(stream, &mut bytes).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let line = find(&bytes, b"\r\n").expect("the loop above ends with it found");
        let size = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..line]), 16).map_err(io::Error::other)?;
        while bytes.len() < line + 2 + size + 2 {
            if !more(stream, &mut bytes).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes.drain(..line + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    if bytes.len() > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(stream.read_buf(bytes).await? > 0)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
