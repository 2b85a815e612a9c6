//! Field names (RFC 9110 section 5.1): tokens, compared without regard to case.
//!
//! The names that weir itself acts on have a one-byte identity, found once when a message is parsed, so that looking
//! for them later compares a byte for each field.

/// A field name, known to be a token.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    pub(super) known: Known,
    text: &'a [u8],
}

macro_rules! known_names {
    ($($constant:ident $variant:ident $text:literal)*) => {
        /// The names that weir acts on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Known {
            Other,
            $($variant,)*
        }

        const KNOWN: &[(Known, &[u8])] = &[$((Known::$variant, $text.as_bytes()),)*];

        $(
            #[doc = concat!("`", $text, "`")]
            pub const $constant: Name<'static> = Name { known: Known::$variant, text: $text.as_bytes() };
        )*
    };
}

known_names! {
    TE Te "TE"
    VIA Via "Via"
    DATE Date "Date"
    HOST Host "Host"
    COOKIE Cookie "Cookie"
    EXPECT Expect "Expect"
    SERVER Server "Server"
    TRAILER Trailer "Trailer"
    UPGRADE Upgrade "Upgrade"
    LOCATION Location "Location"
    X_REAL_IP XRealIp "X-Real-Ip"
    CONNECTION Connection "Connection"
    KEEP_ALIVE KeepAlive "Keep-Alive"
    SET_COOKIE SetCookie "Set-Cookie"
    CONTENT_TYPE ContentType "Content-Type"
    X_REQUEST_ID XRequestId "X-Request-Id"
    MAX_FORWARDS MaxForwards "Max-Forwards"
    AUTHORIZATION Authorization "Authorization"
    CONTENT_LENGTH ContentLength "Content-Length"
    HTTP2_SETTINGS Http2Settings "HTTP2-Settings"
    X_FORWARDED_FOR XForwardedFor "X-Forwarded-For"
    X_FORWARDED_URI XForwardedUri "X-Forwarded-Uri"
    PROXY_CONNECTION ProxyConnection "Proxy-Connection"
    X_FORWARDED_HOST XForwardedHost "X-Forwarded-Host"
    X_FORWARDED_PORT XForwardedPort "X-Forwarded-Port"
    TRANSFER_ENCODING TransferEncoding "Transfer-Encoding"
    X_FORWARDED_PROTO XForwardedProto "X-Forwarded-Proto"
    PROXY_AUTHENTICATE ProxyAuthenticate "Proxy-Authenticate"
    X_FORWARDED_SERVER XForwardedServer "X-Forwarded-Server"
    PROXY_AUTHORIZATION ProxyAuthorization "Proxy-Authorization"
}

const LENGTH_MAX: usize = KNOWN[KNOWN.len() - 1].1.len();
/// Where the names of each length begin in `KNOWN`; few share one.
const FIRST_OF_LENGTH: [usize; LENGTH_MAX + 2] = {
    let mut first = [0; LENGTH_MAX + 2];
    let mut length = 1;
    while length < first.len() {
        first[length] = first[length - 1];
        while first[length] < KNOWN.len() && KNOWN[first[length]].1.len() < length {
            first[length] += 1;
        }
        length += 1;
    }
    assert!(
        first[LENGTH_MAX + 1] == KNOWN.len(),
        "KNOWN is sorted by length"
    );
    first
};
const _: () = assert!(
    KNOWN.len() < u64::BITS as usize,
    "a set of names is one word"
);

impl<'a> Name<'a> {
    /// The name spelt by `text`, `None` if that is not a token.
    pub fn parse(text: &'a str) -> Option<Self> {
        is_token(text.as_bytes()).then(|| Self::from_token(text.as_bytes()))
    }

    /// For bytes that a tokeniser has already checked.
    pub(crate) fn from_token(text: &'a [u8]) -> Self {
        Self {
            known: Known::of(text),
            text,
        }
    }

    pub(super) fn with_known(known: Known, text: &'a [u8]) -> Self {
        Self { known, text }
    }

    /// A name written in the source.
    ///
    /// # Panics
    /// If it is not a token; in a constant that is an error of the build.
    pub const fn literal(text: &'static str) -> Name<'static> {
        assert!(is_token(text.as_bytes()), "a field name is a token");
        Name {
            known: Known::of(text.as_bytes()),
            text: text.as_bytes(),
        }
    }

    /// The name in the case it was written in.
    pub fn as_bytes(self) -> &'a [u8] {
        self.text
    }

    /// Whether both are one name, case aside.
    pub fn is(self, other: Name<'_>) -> bool {
        self.known == other.known
            && (self.known != Known::Other || self.text.eq_ignore_ascii_case(other.text))
    }
}

impl Known {
    pub(super) const fn of(text: &[u8]) -> Self {
        if text.len() > LENGTH_MAX {
            return Self::Other;
        }
        let mut index = FIRST_OF_LENGTH[text.len()];
        while index < FIRST_OF_LENGTH[text.len() + 1] {
            let (known, candidate) = KNOWN[index];
            if candidate.eq_ignore_ascii_case(text) {
                return known;
            }
            index += 1;
        }
        Self::Other
    }

    /// The set of this name alone. All names that are not known share one bit.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// Whether these bytes are a token (RFC 9110 section 5.6.2): what names and methods are made of.
pub const fn is_token(bytes: &[u8]) -> bool {
    let mut index = 0;
    while index < bytes.len() {
        if !is_tchar(bytes[index]) {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty()
}

/// `tchar` of RFC 9110 section 5.6.2.
pub const fn is_tchar(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (known, text) in KNOWN {
            assert_eq!(Known::of(text), *known);
            assert_eq!(Known::of(&text.to_ascii_lowercase()), *known);
        }
        assert_eq!(Known::of(b"Hosts"), Known::Other);
    }

    #[test]
    fn tokens() {
        assert!(is_token(b"X-Forwarded-For") && is_token(b"!#$%&'*+-.^_`|~9aZ"));
        for bad in [
            &b""[..],
            b"a b",
            b"a:",
            b"\"",
            b"a\x7f",
            "\u{e9}".as_bytes(),
            b"a/b",
            b"a@b",
        ] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
