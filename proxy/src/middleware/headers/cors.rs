//! `accessControl*`: which pages of other origins may read responses (the Fetch standard's CORS protocol).

use super::set;
use crate::http::{Headers as Fields, Method, Name, RequestHead, Status};
use crate::middleware::settings::regexp;
use crate::middleware::{Answer, Settings};
use crate::rule::Regexp;

pub(super) const ORIGIN: Name<'static> = Name::literal("Origin");
const REQUEST_METHOD: Name<'static> = Name::literal("Access-Control-Request-Method");
const REQUEST_HEADERS: Name<'static> = Name::literal("Access-Control-Request-Headers");
const ALLOW_ORIGIN: Name<'static> = Name::literal("Access-Control-Allow-Origin");
const ALLOW_CREDENTIALS: Name<'static> = Name::literal("Access-Control-Allow-Credentials");
const ALLOW_HEADERS: Name<'static> = Name::literal("Access-Control-Allow-Headers");
const ALLOW_METHODS: Name<'static> = Name::literal("Access-Control-Allow-Methods");
const EXPOSE_HEADERS: Name<'static> = Name::literal("Access-Control-Expose-Headers");
const MAX_AGE: Name<'static> = Name::literal("Access-Control-Max-Age");
const VARY: Name<'static> = Name::literal("Vary");

#[derive(Debug)]
pub(super) struct Cors {
    credentials: bool,
    headers: Vec<String>,
    methods: Vec<String>,
    origins: Vec<String>,
    origin_regexps: Vec<Regexp>,
    expose: Vec<String>,
    max_age: Option<i64>,
    vary: bool,
}

impl Cors {
    /// `Some(None)` where nothing about CORS is set.
    pub(super) fn read(settings: &mut dyn Settings) -> Option<Option<Self>> {
        const REGEXPS: &str = "accessControlAllowOriginListRegex";
        let regexps = settings.texts(REGEXPS);
        let regexps = regexps.iter().map(|text| regexp(settings, REGEXPS, text));
        let cors = Self {
            origin_regexps: regexps.collect::<Option<_>>()?,
            credentials: settings.flag("accessControlAllowCredentials"),
            headers: settings.texts("accessControlAllowHeaders"),
            methods: settings.texts("accessControlAllowMethods"),
            origins: settings.texts("accessControlAllowOriginList"),
            expose: settings.texts("accessControlExposeHeaders"),
            max_age: settings.integer("accessControlMaxAge", i64::MIN..=i64::MAX),
            vary: settings.flag("addVaryHeader"),
        };
        let lists = [&cors.headers, &cors.methods, &cors.origins, &cors.expose];
        let any = lists.iter().any(|list| !list.is_empty())
            || !cors.origin_regexps.is_empty()
            || cors.credentials
            || cors.max_age.is_some()
            || cors.vary;
        Some(any.then_some(cors))
    }

    /// The answer to a browser that asks before it sends the request itself.
    pub(super) fn preflight(&self, request: &RequestHead) -> Option<Answer> {
        if request.method != Method::Options {
            return None;
        }
        let method = request
            .headers
            .get(REQUEST_METHOD)
            .filter(|method| !method.is_empty())?;
        let origin = request
            .headers
            .get(ORIGIN)
            .filter(|origin| !origin.is_empty())?;
        let mut answer = Answer::empty(Status::OK);
        let fields = &mut answer.head.headers;
        if self.credentials {
            fields.append(ALLOW_CREDENTIALS, b"true");
        }
        // With credentials a * would be taken literally by browsers: what was asked for is allowed by name.
        let asked = request.headers.get(REQUEST_HEADERS).unwrap_or_default();
        self.allow(fields, ALLOW_HEADERS, &self.headers, asked);
        self.allow(fields, ALLOW_METHODS, &self.methods, method);
        if let Some(allowed) = self.allowed_origin(origin) {
            fields.append(ALLOW_ORIGIN, allowed);
        }
        if let Some(seconds) = self.max_age {
            fields.append(MAX_AGE, seconds.to_string().as_bytes());
        }
        self.expose(fields);
        Some(answer)
    }

    /// What a response says to the page that asked, of this origin.
    pub(super) fn response(&self, origin: &[u8], fields: &mut Fields) {
        if let Some(allowed) = self.allowed_origin(origin) {
            set(fields, ALLOW_ORIGIN, allowed);
        }
        if self.credentials {
            set(fields, ALLOW_CREDENTIALS, b"true");
        }
        self.expose(fields);
        if self.vary {
            let vary = fields.get(VARY).unwrap_or_default();
            let vary = match vary {
                b"Origin" => return,
                b"" => b"Origin".to_vec(),
                other => [other, b",Origin"].concat(),
            };
            set(fields, VARY, &vary);
        }
    }

    fn allow(&self, fields: &mut Fields, name: Name<'_>, list: &[String], asked: &[u8]) {
        if self.credentials && is_any(list) {
            if !asked.is_empty() {
                fields.append(name, asked);
            }
        } else if !list.is_empty() {
            fields.append(name, list.join(",").as_bytes());
        }
    }

    fn expose(&self, fields: &mut Fields) {
        let unclear = self.credentials && is_any(&self.expose);
        if !(self.expose.is_empty() || unclear) {
            set(fields, EXPOSE_HEADERS, self.expose.join(",").as_bytes());
        }
    }

    fn allowed_origin<'o>(&'o self, origin: &'o [u8]) -> Option<&'o [u8]> {
        for item in &self.origins {
            if item.as_bytes() == origin {
                return Some(item.as_bytes());
            }
            if item == "*" {
                return Some(if self.credentials { origin } else { b"*" });
            }
        }
        let matches = |regexp: &Regexp| regexp.is_match(origin);
        self.origin_regexps.iter().any(matches).then_some(origin)
    }
}

fn is_any(list: &[String]) -> bool {
    list.iter().any(|item| item == "*")
}
