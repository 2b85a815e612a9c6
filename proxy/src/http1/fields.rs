//! Field lines, and what they say about the message and its connection.

use super::{BodyLength, Reason, upgrade};
use crate::http::{Headers, Version, hop, name};

/// Heads with more fields than this are tokenised on the heap.
const FIELDS_ON_STACK: usize = 32;

/// Makes `headers` hold the fields of a block of `lines` field lines and the empty line after them.
pub(super) fn tokenise(block: &[u8], lines: usize, headers: &mut Headers) -> Result<(), Reason> {
    let mut few = [httparse::EMPTY_HEADER; FIELDS_ON_STACK];
    let mut many = Vec::new();
    let fields = match few.get_mut(..lines) {
        Some(few) => few,
        None => {
            many.resize(lines, httparse::EMPTY_HEADER);
            &mut many[..]
        }
    };
    match httparse::parse_headers(block, fields) {
        Ok(httparse::Status::Complete((end, found)))
            if end == block.len() && found.len() == lines =>
        {
            headers.adopt(
                block,
                found
                    .iter()
                    .map(|field| (field.name.as_bytes(), field.value)),
            );
            Ok(())
        }
        _ => Err(Reason::FieldSyntax),
    }
}

/// Takes `Content-Length` and `Transfer-Encoding` out of `headers` and says what they mean together
/// (RFC 9112 section 6.3). `None` if neither is there.
pub(super) fn take_body_length(
    headers: &mut Headers,
    version: Version,
) -> Result<Option<BodyLength>, Reason> {
    let has_length = headers.contains(name::CONTENT_LENGTH);
    let has_coding = headers.contains(name::TRANSFER_ENCODING);
    let length = match (has_length, has_coding) {
        (false, false) => return Ok(None),
        (true, true) => return Err(Reason::LengthAndCoding),
        (true, false) => BodyLength::Length(content_length(headers)?),
        (false, true) if version == Version::Http10 => return Err(Reason::CodingInHttp10),
        (false, true) => {
            only_chunked(headers)?;
            BodyLength::Chunked
        }
    };
    headers.remove(if has_length {
        name::CONTENT_LENGTH
    } else {
        name::TRANSFER_ENCODING
    });
    Ok(Some(length))
}

/// What a head says about its connection.
pub(super) struct Connection {
    /// It persists (RFC 9112 section 9.3).
    pub(super) keep_alive: bool,
    /// It would, or does, change to one of these protocols.
    pub(super) upgrade: Option<Box<str>>,
}

/// Removes what concerns the connection, and says what that was. `Upgrade` in HTTP/1.0 is ignored (RFC 9110 section
/// 7.8).
pub(super) fn take_connection(headers: &mut Headers, version: Version) -> Connection {
    let protocols = match version {
        Version::Http11 if headers.contains(name::UPGRADE) => protocols(headers),
        _ => None,
    };
    let options = hop::strip(headers);
    Connection {
        keep_alive: match version {
            Version::Http10 => options.keep_alive && !options.close,
            Version::Http11 => !options.close,
        },
        upgrade: protocols.filter(|_| options.upgrade),
    }
}

/// The protocols in `Upgrade` that weir passes on.
fn protocols(headers: &Headers) -> Option<Box<str>> {
    let mut list = String::new();
    for value in headers.get_all(name::UPGRADE) {
        for protocol in hop::list(value) {
            if upgrade::is_protocol(protocol) && !upgrade::is_http(protocol) {
                if !list.is_empty() {
                    list.push_str(", ");
                }
                list.push_str(std::str::from_utf8(protocol).ok()?);
            }
        }
    }
    (!list.is_empty()).then(|| list.into())
}

fn content_length(headers: &Headers) -> Result<u64, Reason> {
    let mut values = headers.get_all(name::CONTENT_LENGTH);
    let value = values.next().ok_or(Reason::LengthInvalid)?;
    if values.next().is_some() {
        return Err(Reason::LengthDuplicate);
    }
    decimal(value).ok_or(Reason::LengthInvalid)
}

/// Digits only: `str::parse` would let a `+` pass.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// The one coding that weir knows is chunked, alone. Codings before it are legal but nobody can be trusted to undo
/// them; anything else leaves the end of the body open to interpretation.
fn only_chunked(headers: &Headers) -> Result<(), Reason> {
    let values: Vec<&[u8]> = headers.get_all(name::TRANSFER_ENCODING).collect();
    if let [value] = values[..]
        && value.eq_ignore_ascii_case(b"chunked")
    {
        return Ok(());
    }
    let codings: Vec<&[u8]> = values
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    match codings.split_last() {
        Some((last, before))
            if is_chunked(last)
                && !before.is_empty()
                && !before
                    .iter()
                    .any(|coding| coding.is_empty() || is_chunked(coding)) =>
        {
            Err(Reason::CodingUnknown)
        }
        _ => Err(Reason::CodingNotLast),
    }
}
