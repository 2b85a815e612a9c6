//! What an entry point does with requests: `forwardedHeaders` and `http`.

use super::{routers, trust, truth};
use crate::config::static_file::{ForwardedHeaders, HttpOptions, UnderscoreHeaders, keys};
use crate::config::walker::{Place, Walker};
use crate::http::path::PathPolicy;
use crate::http1::HeadLimits;
use crate::limits::HEAD_BYTES_RANGE;

/// The switches of `encodedCharacters` and the characters whose escapes they are about.
const ENCODED_CHARACTERS: [(&str, u8); 7] = [
    ("allowEncodedSlash", b'/'),
    ("allowEncodedBackSlash", b'\\'),
    ("allowEncodedNullCharacter", 0),
    ("allowEncodedSemicolon", b';'),
    ("allowEncodedPercent", b'%'),
    ("allowEncodedQuestionMark", b'?'),
    ("allowEncodedHash", b'#'),
];

pub(super) fn forwarded_headers(
    walker: &mut Walker,
    place: Option<&Place<'_>>,
) -> ForwardedHeaders {
    let fields = place.and_then(|place| walker.fields(place, &keys::FORWARDED_HEADERS));
    let Some(fields) = fields else {
        return ForwardedHeaders::default();
    };
    ForwardedHeaders {
        trust: trust(walker, &fields),
        not_append_for: truth(walker, &fields, "notAppendXForwardedFor", false),
        add_scheme: truth(walker, &fields, "addXForwardedSchemeHeaders", false),
    }
}

/// `maxHeaderBytes` goes to `head`.
pub(super) fn options(
    walker: &mut Walker,
    place: Option<&Place<'_>>,
    head: &mut HeadLimits,
) -> HttpOptions {
    let mut options = HttpOptions {
        path: PathPolicy::default(),
        encode_query_semicolons: false,
        underscore_headers: UnderscoreHeaders::Keep,
        middlewares: Vec::new(),
        tls: None,
        redirection: None,
    };
    let Some(fields) = place.and_then(|place| walker.fields(place, &keys::HTTP_OPTIONS)) else {
        return options;
    };
    if let Some(place) = fields.get("maxHeaderBytes")
        && let Some(bytes) = walker.integer(&place, HEAD_BYTES_RANGE)
    {
        head.bytes = bytes as usize;
        head.request_line = head.request_line.min(head.bytes - 1);
    }
    options.path.sanitize = truth(walker, &fields, "sanitizePath", true);
    options.encode_query_semicolons = truth(walker, &fields, "encodeQuerySemicolons", false);
    if let Some(place) = fields.get("encodedCharacters")
        && let Some(fields) = walker.fields(&place, &keys::ENCODED_CHARACTERS)
    {
        let denied = ENCODED_CHARACTERS
            .iter()
            .filter(|&&(key, _)| !truth(walker, &fields, key, true));
        options.path.denied = denied.map(|(_, byte)| *byte).collect();
    }
    let strategies = [
        ("keep", UnderscoreHeaders::Keep),
        ("delete", UnderscoreHeaders::Delete),
        ("reject", UnderscoreHeaders::Reject),
    ];
    if let Some(place) = fields.get("underscoreHeadersStrategy") {
        let strategy = walker.choice(&place, &strategies);
        options.underscore_headers = strategy.unwrap_or_default();
    }
    routers::read(walker, &fields, &mut options);
    options
}
