//! A hub on loopback that serves one file, badly when told so, and remembers what it was asked.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Whole,
    /// Announces everything, sends this much, hangs up.
    CutAfter(usize),
    /// As a server that knows no ranges.
    IgnoreRange,
    /// To a second path on the same host, as the hub does for large files.
    Redirect,
    Status(u16),
}

pub(super) struct FakeHub {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) range: Option<String>,
    pub(super) authorization: Option<String>,
}

impl FakeHub {
    /// Gives `answers` in order, and the last of them for ever.
    pub(super) fn start(body: Vec<u8>, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let answers = answers.to_vec();
        let thread = thread::spawn({
            let (seen, stop) = (seen.clone(), stop.clone());
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let nth = seen.lock().unwrap().len();
                    let answer = answers[nth.min(answers.len() - 1)];
                    // A client that hung up is what some tests are about.
                    let _ = serve(stream.unwrap(), &body, answer, &seen);
                }
            }
        });
        Self { url, seen, stop, thread: Some(thread) }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn ranges(&self) -> Vec<Option<String>> {
        self.seen().into_iter().map(|seen| seen.range).collect()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(mut stream: TcpStream, body: &[u8], answer: Answer, seen: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Seen::default();
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    request.path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let start = request
        .range
        .as_deref()
        .filter(|_| !matches!(answer, Answer::IgnoreRange))
        .map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap());
    seen.lock().unwrap().push(request);

    let (rest, whole) = (&body[start..], body.len());
    let head = match answer {
        Answer::Status(status) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n"),
        Answer::Redirect => "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n".to_owned(),
        _ if start > 0 => format!(
            "HTTP/1.1 206 Partial\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{whole}\r\n",
            rest.len(),
            whole - 1
        ),
        _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n"),
    };
    let sent = match answer {
        Answer::Status(_) | Answer::Redirect => &[],
        Answer::CutAfter(count) => &rest[..count.min(rest.len())],
        Answer::Whole | Answer::IgnoreRange => rest,
    };
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    stream.write_all(sent)
}
