//! Why a message is refused.

use std::fmt;

use crate::http::Status;

/// A message that is refused: what to answer the client, and why.
///
/// For a response that means 502 to the client; the connection to the server is of no further use. After a refused
/// request the client's connection is closed too: where the next message would begin is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status to answer the client with.
    pub status: Status,
    /// The reason, for log and metric.
    pub reason: Reason,
}

macro_rules! reasons {
    ($($variant:ident $label:literal $status:ident $text:literal)*) => {
        /// What exactly is wrong with a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $text] $variant,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// One word for logs, metrics and the reason header; stable.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }

            /// The same in words.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The status for a request refused for this reason.
            const fn status(self) -> Status {
                match self {
                    $(Self::$variant => Status::$status,)*
                }
            }
        }
    };
}

reasons! {
    BareLineFeed "bare_line_feed" BAD_REQUEST "a line ends in LF without CR (RFC 9112 section 2.2)"
    RequestLine "request_line" BAD_REQUEST "the request line is not method, target, version, one space apart"
    NotHttp "not_http" BAD_REQUEST "the first line may be a wrong preface of HTTP/2"
    MethodChars "method_chars" BAD_REQUEST "the method is not a token"
    MethodTooLong "method_too_long" NOT_IMPLEMENTED "the method is longer than any in use"
    ConnectRefused "connect_refused" NOT_IMPLEMENTED "CONNECT: weir is no forward proxy"
    Version "version" VERSION_NOT_SUPPORTED "the major version is not 1"
    TargetChars "target_chars" BAD_REQUEST "the target holds a character that must be percent-encoded"
    TargetForm "target_form" BAD_REQUEST "the target is neither a path, nor an http URI, nor the * of OPTIONS"
    TargetEscape "target_escape" BAD_REQUEST "a % in the path is not followed by two hexadecimal digits"
    TargetTooLong "target_too_long" URI_TOO_LONG "the request line is too long"
    HeadTooLarge "head_too_large" HEADER_FIELDS_TOO_LARGE "the head is too large"
    TooManyFields "too_many_fields" HEADER_FIELDS_TOO_LARGE "the head has too many fields"
    FieldSyntax "field_syntax" BAD_REQUEST "a field line is not name, colon, value, or is folded"
    HostMissing "host_missing" BAD_REQUEST "an HTTP/1.1 request has no Host"
    HostDuplicate "host_duplicate" BAD_REQUEST "there are several Host fields"
    HostInvalid "host_invalid" BAD_REQUEST "Host is not a host with an optional port"
    LengthInvalid "length_invalid" BAD_REQUEST "Content-Length is not one decimal number"
    LengthDuplicate "length_duplicate" BAD_REQUEST "there are several Content-Length fields"
    LengthAndCoding "length_and_coding" BAD_REQUEST "both Content-Length and Transfer-Encoding are given"
    CodingUnknown "coding_unknown" NOT_IMPLEMENTED "a transfer coding other than chunked"
    CodingNotLast "coding_not_last" BAD_REQUEST "chunked is not the last and only use of itself in Transfer-Encoding"
    CodingInHttp10 "coding_in_http10" BAD_REQUEST "Transfer-Encoding in an HTTP/1.0 message"
    Expectation "expectation" EXPECTATION_FAILED "an expectation other than 100-continue"
    StatusLine "status_line" BAD_GATEWAY "the status line is malformed"
    ResponseHttp2 "response_http2" BAD_GATEWAY "in HTTP/2 the head is malformed, or too large"
    UpgradeUnasked "upgrade_unasked" BAD_GATEWAY "101 although nobody asked for an upgrade"
    UpgradeOther "upgrade_other" BAD_GATEWAY "101 to a protocol, or a sub-protocol, that nobody asked for"
    UpgradeAccept "upgrade_accept" BAD_GATEWAY "Sec-WebSocket-Accept is not the answer to the client's key"
    ChunkSize "chunk_size" BAD_REQUEST "a chunk size is not a hexadecimal number, or too large"
    ChunkExtension "chunk_extension" BAD_REQUEST "a chunk extension is malformed or too long"
    ChunkEnd "chunk_end" BAD_REQUEST "a chunk is not followed by CR LF"
    TrailerSyntax "trailer_syntax" BAD_REQUEST "a trailer field is malformed"
    TrailersTooLarge "trailers_too_large" HEADER_FIELDS_TOO_LARGE "the trailers are too large"
    BodyTruncated "body_truncated" BAD_REQUEST "the connection ended before the body did"
}

impl Reject {
    /// The refusal of a request.
    pub const fn request(reason: Reason) -> Self {
        Self {
            status: reason.status(),
            reason,
        }
    }

    /// The refusal of a response, whatever the reason: the server is at fault.
    pub const fn response(reason: Reason) -> Self {
        Self {
            status: Status::BAD_GATEWAY,
            reason,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.explanation())
    }
}

impl std::error::Error for Reject {}
