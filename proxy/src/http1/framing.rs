//! Where a body ends, and what a head says about it and about the connection.

use crate::http::Version;

/// How the end of a body that is being received is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body and nothing said so.
    #[default]
    Empty,
    /// So many bytes, perhaps zero.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the connection ends (responses only).
    UntilClose,
}

/// What a head that is being sent says about its body. Exactly this is written, nothing is implied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// Neither field: no body, or, in a response to an HTTP/1.0 client, one that ends with the connection.
    #[default]
    Nothing,
    /// `Content-Length`
    Length(u64),
    /// `Transfer-Encoding: chunked`
    Chunked,
}

/// What a head that is being sent says about its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionField {
    /// Nothing: HTTP/1.1 connections persist by default.
    #[default]
    Omit,
    /// `keep-alive`, which an HTTP/1.0 client needs to hear.
    KeepAlive,
    /// `upgrade`, with the protocols that the head holds.
    Upgrade,
    /// `close`
    Close,
}

impl BodyLength {
    /// How to announce this body in a request to a server, which is always spoken to in HTTP/1.1.
    pub const fn announce(self) -> Announce {
        match self {
            Self::Empty => Announce::Nothing,
            Self::Length(length) => Announce::Length(length),
            Self::Chunked | Self::UntilClose => Announce::Chunked,
        }
    }

    /// Whether nothing will follow the head.
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::Empty | Self::Length(0))
    }
}

impl Announce {
    /// The same for a client of a version: HTTP/1.0 knows no chunks, there the body ends with the connection.
    pub const fn for_client(self, version: Version) -> Self {
        match (self, version) {
            (Self::Chunked, Version::Http10) => Self::Nothing,
            _ => self,
        }
    }
}
