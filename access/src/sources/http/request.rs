//! Requests as an operator describes them, filled in for one question.

use super::address::Address;
use super::link::{HttpConnector, Reply, exchange};
use super::template::{HttpTemplate, NotText, Scene, write_percent, write_plain};
use crate::sources::config::{BodyConfig, HttpMethod, SslConfig};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::net::{Pool, PoolTerms};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use serde_json::{Map, Value};
use std::fmt;

/// Where and how a service is asked.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// How.
    pub method: HttpMethod,
    /// Where.
    pub url: &'a str,
    /// Headers.
    pub headers: &'a BodyConfig,
    /// Values.
    pub body: &'a BodyConfig,
    /// TLS.
    pub ssl: &'a SslConfig,
    /// Whether topics are asked about.
    pub asks_topics: bool,
}

/// Makes and sends requests of one form.
pub struct Requests {
    method: HttpMethod,
    host: HeaderValue,
    path: HttpTemplate,
    headers: Vec<(HeaderName, HttpTemplate)>,
    values: Vec<(Box<str>, HttpTemplate)>,
    is_form: bool,
    pool: Pool<HttpConnector>,
}

/// What of a request differs from question to question. It may hold a password, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Filled {
    /// Path and query.
    pub path: String,
    /// Headers, of those that were configured.
    pub headers: Vec<(HeaderName, String)>,
    /// The body; empty for `get`.
    pub body: String,
}

impl Requests {
    /// Requests of this form.
    ///
    /// # Errors
    /// Something in the form that cannot be.
    pub fn new(form: Form<'_>, terms: PoolTerms) -> Result<Requests, SetupError> {
        let address = Address::parse("url", form.url, form.ssl, form.asks_topics)?;
        let mut headers = Vec::new();
        let mut is_form = false;
        for (name, text) in form.headers {
            let text = text.reveal();
            let fault = || SetupError::key("headers", format!("`{name}` cannot be set"));
            let name = HeaderName::try_from(name.as_str()).map_err(|_| fault())?;
            if matches!(name.as_str(), "host" | "content-length" | "transfer-encoding" | "connection") {
                return Err(fault());
            }
            if name == CONTENT_TYPE {
                is_form = match text.split(';').next().map(str::trim) {
                    Some("application/json") => false,
                    Some("application/x-www-form-urlencoded") => true,
                    _ => {
                        let expected = "application/json or application/x-www-form-urlencoded";
                        return Err(SetupError::key("headers", format!("content-type must be {expected}")));
                    }
                };
            }
            let template =
                HttpTemplate::parse(text, form.asks_topics).map_err(SetupError::template("headers"))?;
            headers.push((name, template));
        }
        let values = form.body.iter().map(|(name, text)| {
            let text = text.reveal();
            let template =
                HttpTemplate::parse(text, form.asks_topics).map_err(SetupError::template("body"))?;
            Ok((name.as_str().into(), template))
        });
        Ok(Requests {
            method: form.method,
            host: HeaderValue::from_str(&address.host)
                .map_err(|_| SetupError::key("url", "the host cannot stand in a header"))?,
            path: address.path,
            headers,
            values: values.collect::<Result<_, SetupError>>()?,
            is_form,
            pool: Pool::new(HttpConnector::new(address.endpoint), terms),
        })
    }

    /// The request for a client.
    ///
    /// # Errors
    /// The client has a password that is not UTF-8, or a value that no header can hold.
    pub fn fill_in(&self, scene: Scene<'_>) -> Result<Filled, NotText> {
        let mut path = String::new();
        self.path.fill_in(scene, &mut path, write_percent)?;
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            let mut value = String::new();
            template.fill_in(scene, &mut value, write_plain)?;
            // Line ends and other control characters would be a second header.
            HeaderValue::from_str(&value).map_err(|_| NotText)?;
            headers.push((name.clone(), value));
        }
        let mut body = String::new();
        match self.method {
            HttpMethod::Get if self.values.is_empty() => {}
            HttpMethod::Get => {
                path.push(if path.contains('?') { '&' } else { '?' });
                self.write_form(scene, &mut path)?;
            }
            HttpMethod::Post if self.is_form => self.write_form(scene, &mut body)?,
            HttpMethod::Post => body = self.to_json(scene)?,
        }
        Ok(Filled { path, headers, body })
    }

    /// The request, if it is the same for everybody.
    pub fn fixed(&self) -> Option<Filled> {
        let is_bare = self.headers.is_empty() && self.values.is_empty();
        let path = self.path.fixed().filter(|_| is_bare)?;
        Some(Filled { path, headers: Vec::new(), body: String::new() })
    }

    fn write_form(&self, scene: Scene<'_>, text: &mut String) -> Result<(), NotText> {
        for (number, (name, template)) in self.values.iter().enumerate() {
            if number > 0 {
                text.push('&');
            }
            write_percent(name, text);
            text.push('=');
            let mut value = String::new();
            template.fill_in(scene, &mut value, write_plain)?;
            write_percent(&value, text);
        }
        Ok(())
    }

    fn to_json(&self, scene: Scene<'_>) -> Result<String, NotText> {
        let mut object = Map::new();
        for (name, template) in &self.values {
            let mut value = String::new();
            template.fill_in(scene, &mut value, write_plain)?;
            object.insert(name.to_string(), Value::String(value));
        }
        Ok(Value::Object(object).to_string())
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn send(&self, filled: Filled) -> Result<Reply, SourceError> {
        let content_type = match self.is_form {
            true => "application/x-www-form-urlencoded",
            false => "application/json",
        };
        let (method, is_post) = match self.method {
            HttpMethod::Get => (Method::GET, false),
            HttpMethod::Post => (Method::POST, true),
        };
        let body = Full::new(Bytes::from(filled.body));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            filled.path.parse().map_err(|_| SourceError::Answer("the path is not an address"))?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("ringmq"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if is_post {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in filled.headers {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| SourceError::Answer("a value cannot stand in a header"))?;
            headers.insert(name, value);
        }
        self.pool.ask(|link| exchange(link, request.clone())).await
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("host", &self.host).finish_non_exhaustive()
    }
}
