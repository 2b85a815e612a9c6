//! Responses: from the `h2` crate's messages to ours, and back; fields and trailers.

use ::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use ::http::{HeaderMap, header};

use crate::http::{Headers, Method, Name, ResponseHead, Status, hop, name};
use crate::http1::{Announce, BodyLength, HeadLimits, Reason};

/// Makes `headers` hold what is in `map`, in its order.
pub fn fields(map: &HeaderMap, headers: &mut Headers) {
    headers.clear();
    for (name, value) in map {
        headers.append(Name::from_token(name.as_str().as_bytes()), value.as_bytes());
    }
}

/// The same the other way. Names become lower case.
///
/// # Errors
/// A field cannot be said in HTTP/2.
pub fn header_map(headers: &Headers) -> Result<HeaderMap, ::http::Error> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        map.append(name, HeaderValue::from_bytes(value)?);
    }
    Ok(map)
}

/// The one `content-length`; several that say the same count as one.
pub(super) fn content_length(map: &HeaderMap) -> Result<Option<u64>, Reason> {
    let mut values = map.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(Reason::LengthDuplicate);
    }
    let digits = first.to_str().unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Reason::LengthInvalid);
    }
    digits.parse().map(Some).map_err(|_| Reason::LengthInvalid)
}

/// Reads the head of a server's response to a request of `method` into `head`: the body that follows and what is to be
/// said about it. `ended`: nothing follows. How many bytes the head has is the `h2` crate's to bound.
///
/// # Errors
/// The server is at fault: 502.
pub fn read_response(
    parts: &::http::response::Parts,
    method: &Method,
    ended: bool,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<(BodyLength, Announce), Reason> {
    head.clear();
    head.status = Status::new(parts.status.as_u16()).ok_or(Reason::StatusLine)?;
    if head.status == Status::SWITCHING_PROTOCOLS {
        return Err(Reason::UpgradeUnasked);
    }
    if parts.headers.len() > limits.fields {
        return Err(Reason::TooManyFields);
    }
    let length = content_length(&parts.headers)?;
    fields(&parts.headers, &mut head.headers);
    head.headers.remove(name::CONTENT_LENGTH);
    hop::strip(&mut head.headers);
    let announced = length.map_or(Announce::Nothing, Announce::Length);
    let without = head.status.is_bodiless() || *method == Method::Head;
    Ok(match (ended || without, length) {
        (true, _) if without && head.status != Status::NO_CONTENT => (BodyLength::Empty, announced),
        (true, _) if without => (BodyLength::Empty, Announce::Nothing),
        (true, Some(1..)) => return Err(Reason::BodyTruncated),
        (true, _) => (BodyLength::Length(0), Announce::Length(0)),
        (false, Some(length)) => (BodyLength::Length(length), announced),
        (false, None) => (BodyLength::Chunked, Announce::Chunked),
    })
}

/// A response to a client, final or interim.
///
/// # Errors
/// It cannot be said in HTTP/2.
pub fn outgoing_response(
    head: &ResponseHead,
    body: Announce,
) -> Result<::http::Response<()>, ::http::Error> {
    let mut response = ::http::Response::builder()
        .status(head.status.code())
        .body(())?;
    let mut map = header_map(&head.headers)?;
    if let Announce::Length(length) = body {
        map.insert(header::CONTENT_LENGTH, length.into());
    }
    *response.headers_mut() = map;
    Ok(response)
}
