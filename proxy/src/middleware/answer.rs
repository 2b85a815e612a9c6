//! What weir answers itself instead of asking a server.

use crate::http::{Name, ResponseHead, Status};

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and fields, without those about the body.
    pub head: ResponseHead,
    /// Plain text.
    pub body: &'static str,
}

const CONTENT_TYPE: Name<'static> = Name::literal("Content-Type");

impl Answer {
    /// The status, with its reason as the text.
    pub fn status(status: Status) -> Self {
        Self::text(status, status.reason())
    }

    /// The status and a line of text.
    pub fn text(status: Status, body: &'static str) -> Self {
        let mut answer = Self::empty(status);
        answer.body = body;
        let headers = &mut answer.head.headers;
        headers.append(CONTENT_TYPE, b"text/plain; charset=utf-8");
        answer
    }

    /// The status alone.
    pub fn empty(status: Status) -> Self {
        let head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        Self { head, body: "" }
    }
}
