//! `compress`: response bodies in a coding the client takes, encoded as they pass.
//!
//! The decision is made with the head: what has a length below the least size stays as it is, what ends when it ends
//! is encoded, and its encoder is flushed whenever the server pauses, so that no event waits for the next.
//! Source: <https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/compress/>.

use super::{Behaviour, Response, Settings};
use crate::http::{Headers, Method, Name, Status};

mod accept;
mod encoder;

pub use self::encoder::{Coding, Encoder};

/// Its settings.
#[derive(Debug)]
pub struct Compress {
    types: Types,
    /// Media types of requests and responses that are left alone.
    excluded: Vec<Box<str>>,
    least_bytes: u64,
    /// In the order of preference.
    codings: Vec<Coding>,
    /// For clients that do not say what they take.
    default: Option<Coding>,
}

#[derive(Debug)]
enum Types {
    AllButExcluded,
    Only(Vec<Box<str>>),
}

const LEAST_BYTES: i64 = 1_024;

const VARY: Name<'static> = Name::literal("Vary");
const CACHE_CONTROL: Name<'static> = Name::literal("Cache-Control");
const ACCEPT_RANGES: Name<'static> = Name::literal("Accept-Ranges");
const CONTENT_RANGE: Name<'static> = Name::literal("Content-Range");
const CONTENT_ENCODING: Name<'static> = Name::literal("Content-Encoding");
const ACCEPT_ENCODING: Name<'static> = Name::literal("Accept-Encoding");
const CONTENT_TYPE: Name<'static> = Name::literal("Content-Type");

impl Behaviour for Compress {
    const KEYS: &'static [&'static str] = &[
        "excludedContentTypes",
        "includedContentTypes",
        "minResponseBodyBytes",
        "encodings",
        "defaultEncoding",
    ];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let mut excluded = media_types(settings, "excludedContentTypes")?;
        let included = media_types(settings, "includedContentTypes")?;
        if !excluded.is_empty() && !included.is_empty() {
            settings.wrong(
                "includedContentTypes",
                "one of excludedContentTypes and includedContentTypes",
            );
            return None;
        }
        excluded.push("application/grpc".into());
        let least = settings
            .integer("minResponseBodyBytes", 0..=i64::MAX)
            .filter(|least| *least > 0);
        let codings = codings(settings)?;
        let default = settings
            .text("defaultEncoding")
            .filter(|name| !name.is_empty());
        let default = match default.map(|name| Coding::of(name.as_bytes())) {
            None => None,
            Some(Some(coding)) if codings.contains(&coding) => Some(coding),
            Some(_) => {
                settings.wrong("defaultEncoding", "one of the encodings");
                return None;
            }
        };
        Some(Self {
            types: match included.is_empty() {
                true => Types::AllButExcluded,
                false => Types::Only(included),
            },
            excluded,
            least_bytes: least.unwrap_or(LEAST_BYTES) as u64,
            codings,
            default,
        })
    }

    fn response(&self, response: &mut Response<'_>) -> Option<Coding> {
        let request = response.request;
        if request.method == Method::Head || self.excludes(media_type(&request.headers)) {
            return None;
        }
        let coding = match request.headers.contains(ACCEPT_ENCODING) {
            true => accept::coding(&request.headers, &self.codings, self.default)?,
            false => self.default?,
        };
        add_vary(&mut response.head.headers);
        if !response.encodable || !self.wants(response) {
            return None;
        }
        let headers = &mut response.head.headers;
        headers.remove(CONTENT_ENCODING);
        headers.remove(ACCEPT_RANGES);
        headers.append(CONTENT_ENCODING, coding.name().as_bytes());
        Some(coding)
    }
}

impl Compress {
    fn excludes(&self, media_type: Option<String>) -> bool {
        media_type.is_some_and(|found| self.excluded.iter().any(|excluded| **excluded == *found))
    }

    /// Whether this response is to be encoded, if its client takes a coding.
    fn wants(&self, response: &Response<'_>) -> bool {
        let headers = &response.head.headers;
        let status = response.head.status;
        let partial = status == Status::PARTIAL_CONTENT || headers.contains(CONTENT_RANGE);
        let encoded = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| !coding.is_empty());
        let short = response
            .length
            .is_some_and(|length| length < self.least_bytes);
        if status.is_bodiless() || partial || encoded || short || forbids_transforming(headers) {
            return false;
        }
        if headers.get(CONTENT_TYPE).is_none_or(<[u8]>::is_empty) {
            return true;
        }
        let Some(media_type) = media_type(headers) else {
            return false;
        };
        match &self.types {
            Types::AllButExcluded => !self.excludes(Some(media_type)),
            Types::Only(types) => types.iter().any(|only| **only == *media_type),
        }
    }
}

/// RFC 9111 section 5.2.2.6.
fn forbids_transforming(headers: &Headers) -> bool {
    let mut directives = headers
        .get_all(CACHE_CONTROL)
        .flat_map(|value| value.split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

fn add_vary(headers: &mut Headers) {
    let mut names = headers
        .get_all(VARY)
        .flat_map(|value| value.split(|byte| *byte == b','));
    let wanted = ACCEPT_ENCODING.as_bytes();
    let named = names.any(|name| name.trim_ascii().eq_ignore_ascii_case(wanted));
    drop(names);
    if !named {
        headers.append(VARY, wanted);
    }
}

fn media_type(headers: &Headers) -> Option<String> {
    let value = std::str::from_utf8(headers.get(CONTENT_TYPE)?).ok()?;
    parse_media_type(value)
}

/// `type/subtype` in lower case, without parameters.
fn parse_media_type(text: &str) -> Option<String> {
    let (name, _) = text.split_once(';').unwrap_or((text, ""));
    let name = name.trim();
    let (kind, subtype) = name.split_once('/')?;
    let is_token = |part: &str| Name::parse(part).is_some();
    (is_token(kind) && is_token(subtype)).then(|| name.to_ascii_lowercase())
}

fn media_types(settings: &mut dyn Settings, key: &'static str) -> Option<Vec<Box<str>>> {
    let written = settings.texts(key);
    let parsed = written
        .iter()
        .map(|text| Some(parse_media_type(text)?.into()));
    let parsed: Option<Vec<Box<str>>> = parsed.collect();
    if parsed.is_none() {
        settings.wrong(key, "a list of media types such as image/png");
    }
    parsed
}

fn codings(settings: &mut dyn Settings) -> Option<Vec<Coding>> {
    if !settings.has("encodings") {
        return Some(vec![Coding::Gzip, Coding::Brotli, Coding::Zstd]);
    }
    let written = settings.texts("encodings");
    let parsed: Option<Vec<Coding>> = written
        .iter()
        .map(|name| Coding::of(name.as_bytes()))
        .collect();
    let parsed = parsed.filter(|codings| !codings.is_empty());
    if parsed.is_none() {
        settings.wrong("encodings", "a list of gzip, br and zstd");
    }
    parsed
}

#[cfg(test)]
mod tests;
