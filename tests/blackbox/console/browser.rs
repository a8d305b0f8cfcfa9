//! A browser without scripts, which follows nothing by itself: it keeps cookies, and says where its forms come from.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use reqwest::{Client, RequestBuilder, redirect::Policy};

use crate::client::{Answer, send};

pub struct Browser {
    http: Client,
    base: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub fn new(base: &str) -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().expect("a client can be built");
        Self { http, base: base.to_owned(), cookies: Mutex::default() }
    }

    /// Another one at the same place, which knows nothing.
    pub fn fresh(&self) -> Self {
        Self::new(&self.base)
    }

    pub fn fresh_with(&self, cookies: &BTreeMap<String, String>) -> Self {
        Self { cookies: Mutex::new(cookies.clone()), ..self.fresh() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.jar().clone()
    }

    pub async fn log_in(&self, token: &str) {
        self.post("/console/login", &[("token", token)]).await.expect(303);
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.sent(self.http.get(format!("{}{path}", self.base))).await
    }

    /// Sends a form as a page from here does.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.sent(self.form(path, form).header("origin", &self.base).header("sec-fetch-site", "same-origin")).await
    }

    /// Sends a form as a page of `origin` does; `HOST` in it is this console's.
    pub async fn post_from(&self, origin: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = origin.replace("HOST", self.base.trim_start_matches("http://"));
        self.sent(self.form(path, form).header("origin", origin)).await
    }

    /// Sends a form that says nothing of where it comes from.
    pub async fn post_bare(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.sent(self.form(path, form)).await
    }

    /// Loads `page`, and sends its form to `path`: all that it hides, and `fields`.
    pub async fn send_form(&self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let hidden = hidden(&self.get(page).await.expect(200).body);
        self.post(path, &joined(&hidden, fields)).await
    }

    fn form(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let mut body = reqwest::Url::parse("form:").expect("is a URL");
        body.query_pairs_mut().extend_pairs(form);
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(body.query().unwrap_or_default().to_owned())
    }

    async fn sent(&self, request: RequestBuilder) -> Answer {
        let cookies: Vec<String> = self.jar().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let answer = send(request).await;
        for set in answer.headers("set-cookie") {
            let (pair, attributes) = set.split_once(';').expect("ours have attributes");
            let (name, value) = pair.split_once('=').expect("is a pair");
            if attributes.contains("Max-Age=0") {
                self.jar().remove(name);
            } else {
                self.jar().insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    fn jar(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().expect("no test panics while it holds this")
    }
}

/// What the page's forms hide; the last form of a page wins.
pub fn hidden(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input type=\"hidden\" ").skip(1);
    let part = |input: &str, name: &str| {
        let (_, rest) = input.split_once(&format!("{name}=\"")).expect("has it");
        rest.split('"').next().expect("ends").to_owned()
    };
    inputs.map(|input| (part(input, "name"), part(input, "value"))).collect()
}

pub fn joined<'f>(hidden: &'f [(String, String)], fields: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let hidden = hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    hidden.filter(|(name, _)| fields.iter().all(|(other, _)| other != name)).chain(fields.iter().copied()).collect()
}

impl Answer {
    /// Where it sends the browser.
    pub fn location(&self) -> &str {
        self.expect_header("location")
    }
}
