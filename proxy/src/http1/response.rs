//! Response heads.

use super::lines::{HeadScan, StartLine};
use super::target::parse_version;
use super::{Announce, BodyLength, HeadLimits, Reason, Reject, fields};
use crate::http::{Method, ResponseHead, Status, Version, name};

/// What a response head says beside what goes on to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Bytes of input that the head took; the body begins there.
    pub consumed: usize,
    /// The body that follows; of a final response to HEAD, of a 1xx, 204 or 304: none.
    pub body: BodyLength,
    /// What to announce to an HTTP/1.1 client: what the server announced, for HEAD and 304 too. For an HTTP/1.0
    /// client see [`Announce::for_client`].
    pub announce: Announce,
    /// Whether the connection can carry another request once the body has ended.
    pub keep_alive: bool,
}

/// Finds and reads response heads.
#[derive(Clone, Debug)]
pub struct ResponseParser {
    limits: HeadLimits,
    scan: HeadScan,
}

impl ResponseParser {
    /// A parser at the start of a message.
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            scan: HeadScan::default(),
        }
    }

    /// Reads the head of a response to a request of `method` from the beginning of `input`. Interim responses (1xx) are
    /// returned like others and the parser is then ready for the next head; what follows a 101 is not HTTP, if it is
    /// one that was asked for (see [`super::upgrade`]).
    ///
    /// # Errors
    /// The server is at fault: 502.
    pub fn parse(
        &mut self,
        input: &[u8],
        method: &Method,
        head: &mut ResponseHead,
    ) -> Result<Option<Response>, Reject> {
        self.try_parse(input, method, head)
            .map_err(Reject::response)
    }

    fn try_parse(
        &mut self,
        input: &[u8],
        method: &Method,
        head: &mut ResponseHead,
    ) -> Result<Option<Response>, Reason> {
        let Some(lines) = self.scan.run(input, &self.limits, &STATUS_LINE)? else {
            let beginning = self.scan.partial_start_line(input);
            let whole = beginning.len().min(HTTP_1.len());
            return if HTTP_1.starts_with(&beginning[..whole]) {
                Ok(None)
            } else {
                Err(Reason::StatusLine)
            };
        };
        self.scan = HeadScan::default();
        head.clear();
        (head.version, head.status) =
            parse_status_line(&input[lines.start_line]).ok_or(Reason::StatusLine)?;
        fields::tokenise(
            &input[lines.fields.clone()],
            lines.field_lines,
            &mut head.headers,
        )?;
        interpret(head, method, lines.fields.end).map(Some)
    }
}

const STATUS_LINE: StartLine = StartLine {
    malformed: Reason::StatusLine,
    too_long: Reason::StatusLine,
};
const HTTP_1: &[u8] = b"HTTP/1.";

/// `HTTP/1.1 200 OK`; the phrase may be missing with the space before it, as some servers leave it out.
fn parse_status_line(line: &[u8]) -> Option<(Version, Status)> {
    let (version, rest) = line.split_at_checked(8)?;
    let version = parse_version(version)?.ok()?;
    let (code, phrase) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let code = code.iter().try_fold(0, |code, byte| {
        byte.is_ascii_digit()
            .then(|| code * 10 + u16::from(byte - b'0'))
    })?;
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let valid = phrase.is_empty() || (phrase[0] == b' ' && phrase.iter().all(is_text));
    if valid {
        Some((version, Status::new(code)?))
    } else {
        None
    }
}

fn interpret(
    head: &mut ResponseHead,
    method: &Method,
    consumed: usize,
) -> Result<Response, Reason> {
    let headers = &mut head.headers;
    let length = fields::take_body_length(headers, head.version)?;
    let connection = fields::take_connection(headers, head.version);
    if head.status == Status::SWITCHING_PROTOCOLS {
        head.upgrade = connection.upgrade;
    }
    let (body, announce) = body_and_announcement(head.status, method, length);
    if announce != Announce::Chunked {
        headers.remove(name::TRAILER);
    }
    let keep_alive = connection.keep_alive && body != BodyLength::UntilClose;
    Ok(Response {
        consumed,
        body,
        announce,
        keep_alive,
    })
}

/// RFC 9112 section 6.3, and section 6.1 for what a response without a body may announce.
fn body_and_announcement(
    status: Status,
    method: &Method,
    length: Option<BodyLength>,
) -> (BodyLength, Announce) {
    match length {
        _ if status.is_informational() || status == Status::NO_CONTENT => {
            (BodyLength::Empty, Announce::Nothing)
        }
        length if *method == Method::Head || status == Status::NOT_MODIFIED => (
            BodyLength::Empty,
            length.map_or(Announce::Nothing, BodyLength::announce),
        ),
        Some(length) => (length, length.announce()),
        None => (BodyLength::UntilClose, Announce::Chunked),
    }
}

#[cfg(test)]
mod tests;
