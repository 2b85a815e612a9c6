//! The ClientHello, looked at before anybody answers it: the server name and the protocols that a client asks for.
//!
//! Owns: the bytes received so far, and how the first handshake message is read out of records. Never: an answer, or
//! any other message; whoever looked hands [`HelloReader::into_received`] on, to rustls or to a server, so that nothing
//! is lost. Invariants: each byte is looked at once, however the message is cut into segments and records; at most
//! [`limits::TLS_HANDSHAKE_BYTES_MAX`] are kept. With Encrypted Client Hello the outer message counts, as only the
//! server that has the key can read the inner one.
//!
//! Source: RFC 8446 sections 4.1.2, 4.2 and 5.1; RFC 6066 section 3; RFC 7301 section 3.1.

use std::fmt;
use std::net::IpAddr;

use crate::limits;

/// ContentType handshake, the first byte of every TLS connection.
pub const RECORD_HANDSHAKE: u8 = 0x16;
const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_TYPE_HOST: u8 = 0;
/// A DNS name in text, without the dot at its end (RFC 1035 section 3.1).
const HOST_NAME_BYTES_MAX: usize = 253;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    server_name: Box<str>,
    /// The list of RFC 7301, checked: each protocol after its length.
    protocols: Box<[u8]>,
}

/// Why the bytes begin no TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// Another record or message than a ClientHello comes first.
    Unexpected,
    /// Longer than [`limits::CLIENT_HELLO_BYTES_MAX`], or cut into too many records.
    TooLong,
    /// A record, a length or a name breaks the protocol.
    Malformed,
}

/// Reads a ClientHello as its bytes arrive.
#[derive(Debug, Default)]
pub struct HelloReader {
    received: Vec<u8>,
    /// How much of `received` has been read.
    position: usize,
    /// What is still to come of the record at `position`.
    record_left: usize,
    /// The handshake message without its records.
    message: Vec<u8>,
}

impl ClientHello {
    /// The name of the server: lower case, without a dot at its end; empty if the client named none, or an IP address,
    /// which is no name (RFC 6066 section 3).
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The application protocols in the client's order of preference.
    pub fn protocols(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.protocols[..];
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let (protocol, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            Some(protocol)
        })
    }

    /// What a whole message says, without its header.
    fn parse(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        body.take(2 + 32)?;
        let session = body.vector8()?;
        let suites = body.vector16()?;
        let compressions = body.vector8()?;
        if session.len() > 32
            || suites.is_empty()
            || suites.len() % 2 != 0
            || compressions.is_empty()
        {
            return None;
        }
        let mut hello = Self::default();
        if body.0.is_empty() {
            return Some(hello);
        }
        let mut extensions = Reader(body.vector16()?);
        let (mut named, mut agreed) = (false, false);
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let data = extensions.vector16()?;
            match kind {
                EXTENSION_SERVER_NAME if !std::mem::replace(&mut named, true) => {
                    hello.server_name = server_name(data)?;
                }
                EXTENSION_ALPN if !std::mem::replace(&mut agreed, true) => {
                    hello.protocols = protocols(data)?.into();
                }
                // One of them a second time (RFC 8446 section 4.2).
                EXTENSION_SERVER_NAME | EXTENSION_ALPN => return None,
                _ => {}
            }
        }
        body.0.is_empty().then_some(hello)
    }
}

impl HelloReader {
    /// Takes the next bytes received. `None`: the message goes on.
    ///
    /// # Errors
    /// The client's fault; [`HelloError::alert`] is what it may be told.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        self.received.extend_from_slice(bytes);
        loop {
            if self.record_left == 0 && !self.open_record()? {
                break;
            }
            let end = self.received.len().min(self.position + self.record_left);
            if end == self.position {
                break;
            }
            self.message
                .extend_from_slice(&self.received[self.position..end]);
            self.record_left -= end - self.position;
            self.position = end;
            if let Some(hello) = self.message()? {
                return Ok(Some(hello));
            }
        }
        match self.received.len() > limits::TLS_HANDSHAKE_BYTES_MAX {
            true => Err(HelloError::TooLong),
            false => Ok(None),
        }
    }

    /// Everything that was fed.
    pub fn into_received(self) -> Vec<u8> {
        self.received
    }

    /// Reads the header of the next record, if it is there.
    fn open_record(&mut self) -> Result<bool, HelloError> {
        if self.position > limits::TLS_HANDSHAKE_BYTES_MAX {
            return Err(HelloError::TooLong);
        }
        let rest = &self.received[self.position..];
        if rest.first().is_some_and(|kind| *kind != RECORD_HANDSHAKE) {
            return Err(HelloError::Unexpected);
        }
        let Some((header, _)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(false);
        };
        let [_, major, _, high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        // No empty fragments of handshake messages (RFC 8446 section 5.1); the minor version means nothing.
        if major != 3 || length == 0 || length > limits::TLS_RECORD_PLAINTEXT {
            return Err(HelloError::Malformed);
        }
        self.position += RECORD_HEADER_BYTES;
        self.record_left = length;
        Ok(true)
    }

    /// The message, if all of it is there.
    fn message(&self) -> Result<Option<ClientHello>, HelloError> {
        if self
            .message
            .first()
            .is_some_and(|kind| *kind != CLIENT_HELLO)
        {
            return Err(HelloError::Unexpected);
        }
        let Some((header, body)) = self.message.split_first_chunk::<MESSAGE_HEADER_BYTES>() else {
            return Ok(None);
        };
        let [_, high, middle, low] = *header;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if length > limits::CLIENT_HELLO_BYTES_MAX {
            return Err(HelloError::TooLong);
        }
        match body.get(..length) {
            None => Ok(None),
            Some(body) => ClientHello::parse(body)
                .map(Some)
                .ok_or(HelloError::Malformed),
        }
    }
}

impl HelloError {
    /// The alert that says so, as a record (RFC 8446 section 6).
    pub const fn alert(self) -> [u8; 7] {
        const FATAL: u8 = 2;
        let description = match self {
            Self::Unexpected => 10,
            Self::TooLong => 22,
            Self::Malformed => 50,
        };
        [0x15, 3, 3, 0, 2, FATAL, description]
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unexpected => "no ClientHello comes first",
            Self::TooLong => "the ClientHello is too long",
            Self::Malformed => "the ClientHello is malformed",
        })
    }
}

impl std::error::Error for HelloError {}

/// The host name of a `server_name` extension.
fn server_name(data: &[u8]) -> Option<Box<str>> {
    let mut data = Reader(data);
    let mut list = Reader(data.vector16()?);
    if list.0.is_empty() || !data.0.is_empty() {
        return None;
    }
    let mut host = None;
    while !list.0.is_empty() {
        // How long a name of another type is, nobody knows: what follows it is nothing to rustls either.
        if list.take(1)?[0] != NAME_TYPE_HOST {
            break;
        }
        if host.replace(host_name(list.vector16()?)?).is_some() {
            return None;
        }
    }
    Some(host.unwrap_or_default())
}

fn host_name(name: &[u8]) -> Option<Box<str>> {
    let text = str::from_utf8(name).ok()?;
    if text.parse::<IpAddr>().is_ok() {
        return Some(Box::default());
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(of_a_name)
    };
    let valid = text.len() <= HOST_NAME_BYTES_MAX && text.split('.').all(label);
    valid.then(|| text.to_ascii_lowercase().into())
}

/// The list of an ALPN extension, each protocol checked to be there and not empty.
fn protocols(data: &[u8]) -> Option<&[u8]> {
    let mut data = Reader(data);
    let list = data.vector16()?;
    let mut rest = Reader(list);
    while !rest.0.is_empty() {
        if rest.vector8()?.is_empty() {
            return None;
        }
    }
    (data.0.is_empty() && !list.is_empty()).then_some(list)
}

/// What is left to read; `None` where it is too short.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector whose length takes one byte.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    /// A vector whose length takes two bytes.
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests;
