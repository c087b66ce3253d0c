//! A blocking HTTP/1.1 client for one kept connection: what the REST API needs and no more.
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::StreamOwned;

use crate::target::Target;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Header lines of an answer.
const HEADERS_MAX: usize = 64;
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes as they are, or through TLS.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection that is kept between requests and made anew where the server ended it.
pub(crate) struct Connection<'a> {
    target: &'a Target,
    stream: Option<Box<dyn Stream>>,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl<'a> Connection<'a> {
    /// Connects with the first request.
    pub(crate) fn new(target: &'a Target) -> Self {
        Self { target, stream: None, buffer: Vec::new() }
    }

    /// Sends a request as `user` and does not wait: [`Connection::receive`] does. `body` is JSON; empty: none.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        user: i64,
        body: &str,
    ) -> anyhow::Result<()> {
        let Target { host, signer, .. } = self.target;
        let token = signer.token(user);
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        );
        if !body.is_empty() {
            let len = body.len();
            request.push_str("Content-Type: application/json\r\n");
            write!(request, "Content-Length: {len}\r\n").expect("a String takes it");
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.stream()?.write_all(request.as_bytes()).context("cannot send a request")
    }

    /// Waits for the answer to the request that was sent.
    pub(crate) fn receive(&mut self) -> anyhow::Result<Answer> {
        loop {
            if let Some((answer, len, is_kept)) = parse(&self.buffer)? {
                self.buffer.drain(..len);
                if !is_kept {
                    self.stream = None;
                    self.buffer.clear();
                }
                return Ok(answer);
            }
            ensure!(self.buffer.len() < ANSWER_BYTES_MAX, "an answer without end");
            let mut chunk = [0; 16 * 1024];
            let received = self.stream()?.read(&mut chunk).context("cannot read an answer")?;
            ensure!(received > 0, "the server cut the connection before its answer");
            self.buffer.extend_from_slice(&chunk[..received]);
        }
    }

    /// Sends and receives.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        user: i64,
        body: &str,
    ) -> anyhow::Result<Answer> {
        self.send(method, path, user, body)?;
        self.receive().with_context(|| format!("{method} {path}"))
    }

    fn stream(&mut self) -> anyhow::Result<&mut dyn Stream> {
        let address = self.target.address;
        if self.stream.is_none() {
            let stream = TcpStream::connect(address)
                .with_context(|| format!("cannot connect to {address}"))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.stream = Some(match &self.target.tls {
                Some(tls) => Box::new(StreamOwned::new(tls.connection()?, stream)),
                None => Box::new(stream),
            });
        }
        Ok(&mut **self.stream.as_mut().expect("it was just made"))
    }
}

/// The answer at the front of `bytes`, its length, and whether the connection stays; `None`: there is more to come.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize, bool)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) =
        response.parse(bytes).context("the answer is not HTTP")?
    else {
        return Ok(None);
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let status = response.code.context("the answer has no status")?;
    let Some(len) = value("Content-Length").and_then(|len| len.parse::<usize>().ok()) else {
        bail!("an answer with status {status} and without Content-Length");
    };
    let end = head + len;
    let is_kept = !value("Connection").is_some_and(|option| option.eq_ignore_ascii_case("close"));
    Ok(bytes.get(head..end).map(|body| (Answer { status, body: body.to_vec() }, end, is_kept)))
}

impl Answer {
    /// The body's JSON, where the status is `status`.
    pub(crate) fn expect<'b, T: serde::Deserialize<'b>>(
        &'b self,
        status: u16,
    ) -> anyhow::Result<T> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!(self.status == status, "answered {} {text}", self.status);
        serde_json::from_slice(&self.body).with_context(|| format!("unexpected body {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\n{}HTTP";
        let answer = Answer { status: 200, body: b"{}".to_vec() };
        assert_eq!(parse(bytes).unwrap(), Some((answer, bytes.len() - 4, false)));
        for cut in 0..bytes.len() - 4 {
            assert_eq!(parse(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
        let kept = parse(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").unwrap().unwrap();
        assert_eq!((kept.0.status, kept.2), (404, true));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"\x00\x01").is_err());
    }

    #[test]
    fn another_status_than_expected_is_an_error_with_the_body() {
        let answer = Answer { status: 401, body: b"{\"code\":\"token_missing\"}".to_vec() };
        let error = answer.expect::<serde_json::Value>(200).unwrap_err().to_string();
        assert_eq!(error, "answered 401 {\"code\":\"token_missing\"}");
        assert!(answer.expect::<Vec<i64>>(401).is_err());
        assert!(answer.expect::<serde_json::Value>(401).is_ok());
    }
}
