//! One bounded, resumable HTTP download into a `.part` file.
//!
//! hf-hub's own download has no timeouts, appends whatever a server sends to a partial file even when it ignored the
//! range asked for, and cannot finish a partial file that is whole already; and its client can be given neither
//! timeouts nor another URL. So the bytes are fetched here, through the HTTP library that hf-hub itself uses.
//!
//! Never more than the manifest's bytes are written, and no wait is without a bound. Nothing is verified here.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use ureq::{
    Agent, Body,
    config::RedirectAuthHeaders,
    http::{Response, StatusCode, header},
};

use super::{Progress, place::DiskError};

/// What to fetch, and where to.
pub(super) struct Download<'a> {
    pub(super) url: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) part: &'a Path,
    pub(super) bytes: u64,
}

/// Whether bytes of an earlier attempt are part of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    Afresh,
    FromPart,
}

#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("cannot reach {host}: {source}")]
    Unreachable { host: String, source: Box<ureq::Error> },
    #[error("{host} answered {status}{}", advice(*.status))]
    Refused { host: String, status: u16 },
    #[error("{host} has {found} bytes where the manifest says {expected}; it is another file")]
    WrongSize { host: String, expected: u64, found: u64 },
    #[error("{host} ended after {here} of {bytes} bytes, {MOST_ATTEMPTS} times; the next pull goes on from there")]
    Cut { host: String, here: u64, bytes: u64 },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Together they keep a pull from an unreachable hub under ten seconds.
const RESOLVE: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(4);
const ANSWER: Duration = Duration::from_secs(9);
/// Without a byte for this long, a transfer is cut.
const STALL: Duration = Duration::from_secs(20);
const MOST_ATTEMPTS: u32 = 5;

impl Download<'_> {
    /// Fetches what is missing, going on after a cut, until the part file has its full size.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<Began, DownloadError> {
        let disk = |source| DiskError::new(self.part, self.bytes, source);
        let mut part = File::options().create(true).append(true).read(true).open(self.part).map_err(disk)?;
        let mut here = part.seek(std::io::SeekFrom::End(0)).map_err(disk)?;
        if here > self.bytes {
            part.set_len(0).map_err(disk)?;
            here = 0;
        }
        let mut began = if here == 0 { Began::Afresh } else { Began::FromPart };
        let agent = agent();
        let mut attempt = 0;
        while here < self.bytes {
            attempt += 1;
            if attempt > MOST_ATTEMPTS {
                return Err(DownloadError::Cut { host: self.host(), here, bytes: self.bytes });
            }
            if attempt > 1 {
                thread::sleep(Duration::from_millis(50 << attempt));
            }
            let response = match self.ask(&agent, here) {
                Ok(response) => response,
                // It answered a moment ago, so this is the same cut going on.
                Err(DownloadError::Unreachable { .. }) if attempt > 1 => continue,
                Err(error) => return Err(error),
            };
            if here > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                part.set_len(0).map_err(disk)?;
                here = 0;
                began = Began::Afresh;
            }
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                continue;
            }
            here = self.copy(response, &mut part, here, progress).inspect_err(|_| {
                // The disk is full, which is everybody's trouble, or it is another file: neither is worth going on from.
                let _ = fs::remove_file(self.part);
            })?;
        }
        part.sync_all().map_err(disk)?;
        Ok(began)
    }

    /// Asks for everything from `here` on, and checks that the answer is that, or all of the file.
    fn ask(&self, agent: &Agent, here: u64) -> Result<Response<Body>, DownloadError> {
        let mut request = agent.get(self.url).header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if here > 0 {
            request = request.header(header::RANGE, format!("bytes={here}-"));
        }
        let response = request
            .call()
            .map_err(|source| DownloadError::Unreachable { host: self.host(), source: Box::new(source) })?;
        let whole = match response.status() {
            StatusCode::OK => response.body().content_length(),
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((start, whole)) if start == here => Some(whole),
                _ => return Err(DownloadError::Refused { host: self.host(), status: 206 }),
            },
            StatusCode::RANGE_NOT_SATISFIABLE if here > 0 => None,
            status => return Err(DownloadError::Refused { host: self.host(), status: status.as_u16() }),
        };
        match whole {
            Some(found) if found != self.bytes => {
                Err(DownloadError::WrongSize { host: self.host(), expected: self.bytes, found })
            }
            _ => Ok(response),
        }
    }

    /// Appends the body to the part file until it ends, is cut or stalls; returns how many bytes are here then.
    fn copy(
        &self,
        response: Response<Body>,
        part: &mut File,
        mut here: u64,
        progress: &dyn Progress,
    ) -> Result<u64, DownloadError> {
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 256 * 1024];
        progress.advance(here);
        loop {
            let Ok(count @ 1..) = body.read(&mut buffer) else { return Ok(here) };
            let found = here + count as u64;
            if found > self.bytes {
                return Err(DownloadError::WrongSize { host: self.host(), expected: self.bytes, found });
            }
            part.write_all(&buffer[..count]).map_err(|source| DiskError::new(self.part, self.bytes, source))?;
            here = found;
            progress.advance(here);
        }
    }

    /// Whom we talk to, without what may be secret in a URL.
    fn host(&self) -> String {
        let (_, rest) = self.url.split_once("://").unwrap_or(("", self.url));
        let authority = rest.split('/').next().unwrap_or(rest);
        authority.rsplit('@').next().unwrap_or(authority).to_owned()
    }
}

/// Proxies come from the environment, as they do for hf-hub; a token goes to the hub only, not to where it redirects.
fn agent() -> Agent {
    Agent::config_builder()
        .user_agent(concat!("backstop/", env!("CARGO_PKG_VERSION")))
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .http_status_as_error(false)
        .timeout_resolve(Some(RESOLVE))
        .timeout_connect(Some(CONNECT))
        .timeout_send_request(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_per_read(Some(STALL))
        .build()
        .into()
}

/// `bytes 5-99/100` as `(5, 100)`.
fn content_range(response: &Response<Body>) -> Option<(u64, u64)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, whole.parse().ok()?))
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; the repository may want a license accepted and a token (`hf auth login`)",
        404 => "; it has no such file at this revision",
        429 => "; it limits how often it is asked, try again later",
        _ => "",
    }
}
