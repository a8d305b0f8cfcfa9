//! What durations, sizes, addresses, URLs and amounts mean.

use std::{net::SocketAddr, time::Duration};

use backstop_models::device::Wanted;
use reqwest::Url;

use super::Resolver;
use crate::{
    config::{path::Path, raw, words},
    domain::Money,
};

/// The longest span that any setting may have.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Resolver<'_, '_> {
    /// More than nothing, at most a year.
    pub(super) fn duration(&mut self, path: &Path, text: &raw::DurationText) -> Option<Duration> {
        let text = text.as_str()?;
        match humantime::parse_duration(text) {
            Ok(span) if span.is_zero() => self.error(path, "a duration is more than 0", "e.g. `250ms`, `5s`, `30d`"),
            Ok(span) if span > LONGEST => self.error(path, format!("`{}` is more than a year", words::cut(text)), ""),
            Ok(span) => return Some(span),
            Err(_) => {
                let help = match text.trim().parse::<f64>() {
                    Ok(_) => format!("give it a unit: `{}s`", words::cut(text.trim())),
                    Err(_) => "write a number and a unit, e.g. `250ms`, `5s`, `30d`".to_owned(),
                };
                self.error(path, format!("`{}` is not a duration", words::cut(text)), help);
            }
        }
        None
    }

    /// In bytes.
    pub(super) fn size(&mut self, path: &Path, text: &raw::SizeText, most: usize) -> Option<usize> {
        let text = text.as_str()?;
        let size = bytes(text).filter(|size| *size <= most);
        if size.is_none() {
            let help = format!("write a number and a unit, e.g. `32MiB`; at most {}GiB", most >> 30);
            self.error(path, format!("`{}` is not a size", words::cut(text)), help);
        }
        size
    }

    pub(super) fn device(&mut self, path: &Path, text: &raw::DeviceText) -> Option<Wanted> {
        let text = text.as_str()?;
        let wanted = text.parse().ok();
        if wanted.is_none() {
            self.error(path, format!("`{}` is no device", words::cut(text)), "one of `auto`, `cpu`, `cuda`, `cuda:1`");
        }
        wanted
    }

    pub(super) fn socket(&mut self, path: &Path, text: &raw::SocketText) -> Option<SocketAddr> {
        let text = text.as_str()?;
        let address = text.parse().ok();
        if address.is_none() {
            let help = "write an IP address and a port, e.g. `127.0.0.1:8080`, or `0.0.0.0:8080` for every interface";
            self.error(path, format!("`{}` is not an address to listen on", words::cut(text)), help);
        }
        address
    }

    /// An http(s) URL with nothing after its path, without a trailing slash.
    pub(super) fn url(&mut self, path: &Path, text: &raw::UrlText) -> Option<String> {
        let text = text.as_str()?;
        let fault = match Url::parse(text) {
            Err(error) => error.to_string(),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "it is neither http nor https".to_owned(),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => "it has a query or a fragment".to_owned(),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "it has a user name".to_owned(),
            Ok(_) if text.contains(char::is_whitespace) => "it has blanks".to_owned(),
            Ok(_) => return Some(text.trim_end_matches('/').to_owned()),
        };
        let message = format!("`{}` cannot be used as a URL: {fault}", words::cut(text));
        self.error(path, message, "e.g. `https://api.example.com/v1`");
        None
    }

    /// US dollars, not negative.
    pub(super) fn amount(&mut self, path: &Path, usd: f64) -> Option<Money> {
        let amount = Money::limit_from_usd(usd);
        if amount.is_none() {
            self.error(path, "an amount is from 0 to a billion US dollars", "the smallest is 0.000001");
        }
        amount
    }
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim() {
        "B" => 1,
        "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes() {
        assert_eq!(super::bytes("32MiB"), Some(32 << 20));
        assert_eq!(super::bytes("20 MB"), Some(20_000_000));
        for bad in ["", "32", "MiB", "-1MiB", "99999999999GiB", "0B", "１MiB"] {
            assert_eq!(super::bytes(bad), None, "{bad}");
        }
    }
}
