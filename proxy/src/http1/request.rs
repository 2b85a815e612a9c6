//! Request heads.

use super::lines::{HeadScan, StartLine};
use super::target::{self, RequestLine};
use super::{BodyLength, Reason, Reject, fields};
use crate::http::{Headers, RequestHead, Version, name};
use crate::limits;

/// Bounds on a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line without its line end; over it 414.
    pub request_line: usize,
    /// Number of field lines; over it 431.
    pub fields: usize,
    /// Bytes of the whole head, request line and empty line included; over it 431.
    pub bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            request_line: limits::REQUEST_LINE_BYTES_MAX,
            fields: limits::HEAD_FIELDS_MAX,
            bytes: limits::HEAD_BYTES_MAX,
        }
    }
}

/// What a request head says beside what goes on to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Bytes of input that the head took; the body begins there.
    pub consumed: usize,
    /// The body that follows.
    pub body: BodyLength,
    /// Whether the client will take another response on this connection.
    pub keep_alive: bool,
}

/// Finds and reads request heads. Remembers how far it has looked, so that a head which comes byte by byte is scanned
/// once.
#[derive(Clone, Debug)]
pub struct RequestParser {
    limits: HeadLimits,
    scan: HeadScan,
    start_line_checked: bool,
}

impl RequestParser {
    /// A parser at the start of a message.
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            scan: HeadScan::default(),
            start_line_checked: false,
        }
    }

    /// Reads a head from the beginning of `input` into `head`, whose former content is lost. `None` if there is more
    /// to come: call again with the same bytes and further ones. After `Some` the parser is ready for the next message.
    ///
    /// # Errors
    /// As soon as what has arrived can be no acceptable head; see [`Reason`] for each cause and its status.
    pub fn parse(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Request>, Reject> {
        self.try_parse(input, head).map_err(Reject::request)
    }

    fn try_parse(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Request>, Reason> {
        let scanned = self.scan.run(input, &self.limits, &REQUEST_LINE);
        if !matches!(scanned, Ok(Some(_))) {
            self.check_partial(input)?;
        }
        let Some(lines) = scanned? else {
            return Ok(None);
        };
        *self = Self::new(self.limits);
        head.clear();
        RequestLine::parse(&input[lines.start_line])?.apply(head)?;
        fields::tokenise(
            &input[lines.fields.clone()],
            lines.field_lines,
            &mut head.headers,
        )?;
        interpret(head, lines.fields.end).map(Some)
    }

    /// What is wrong with the beginning is said at once, and before what is wrong with the size.
    fn check_partial(&mut self, input: &[u8]) -> Result<(), Reason> {
        match self.scan.start_line(input) {
            Some(_) if self.start_line_checked => Ok(()),
            Some(line) if line.len() <= self.limits.request_line => {
                self.start_line_checked = true;
                RequestLine::parse(line).map(drop)
            }
            Some(line) => target::check_beginning(line),
            None => target::check_beginning(self.scan.partial_start_line(input)),
        }
    }
}

const REQUEST_LINE: StartLine = StartLine {
    malformed: Reason::RequestLine,
    too_long: Reason::TargetTooLong,
};

/// Turns the fields about message and connection into facts.
fn interpret(head: &mut RequestHead, consumed: usize) -> Result<Request, Reason> {
    take_host(head)?;
    let headers = &mut head.headers;
    let body = fields::take_body_length(headers, head.version)?.unwrap_or_default();
    let connection = fields::take_connection(headers, head.version);
    check_expectation(headers, head.version, body)?;
    if body != BodyLength::Chunked {
        headers.remove(name::TRAILER);
    }
    // The upgrade would come after the body; servers may ignore it (RFC 9110 section 7.8), and few do better.
    head.upgrade = connection.upgrade.filter(|_| body.is_empty());
    Ok(Request {
        consumed,
        body,
        keep_alive: connection.keep_alive,
    })
}

/// Exactly one valid `Host` in HTTP/1.1, at most one in HTTP/1.0 (RFC 9112 section 3.2). An absolute target wins.
fn take_host(head: &mut RequestHead) -> Result<(), Reason> {
    let mut hosts = head.headers.get_all(name::HOST);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Reason::HostDuplicate);
    }
    drop(hosts);
    let Some(host) = host else {
        return if head.version == Version::Http10 {
            Ok(())
        } else {
            Err(Reason::HostMissing)
        };
    };
    let authority = target::parse_authority(host)
        .ok_or(Reason::HostInvalid)?
        .to_owned();
    if head.authority().is_empty() {
        head.set_authority(&authority);
    }
    head.headers.remove(name::HOST);
    Ok(())
}

/// RFC 9110 section 10.1.1: only 100-continue is defined, and goes on to the server; in HTTP/1.0 and without a body it
/// is ignored.
fn check_expectation(
    headers: &mut Headers,
    version: Version,
    body: BodyLength,
) -> Result<(), Reason> {
    if !headers.contains(name::EXPECT) {
        return Ok(());
    }
    if version == Version::Http11
        && !headers
            .get_all(name::EXPECT)
            .all(|value| value.eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Reason::Expectation);
    }
    if version == Version::Http10 || body.is_empty() {
        headers.remove(name::EXPECT);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
