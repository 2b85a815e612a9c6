//! `headers`: fields set and taken away, CORS, and what browsers are told about security.
//!
//! Of the response the security fields are set first, then the operator's own, then CORS, as in Traefik.

use std::ops::ControlFlow;

use super::{Answer, Behaviour, Request, Response, Settings};
use crate::http::{Headers as Fields, Name, name};

mod cors;
mod security;

use self::cors::Cors;
use self::security::Security;

/// Its settings.
#[derive(Debug)]
pub struct Headers {
    request: Vec<Custom>,
    response: Vec<Custom>,
    cors: Option<Box<Cors>>,
    security: Option<Box<Security>>,
}

/// A field of the operator's own; an empty value takes it away.
#[derive(Debug)]
struct Custom {
    name: Box<str>,
    value: Box<str>,
}

impl Behaviour for Headers {
    const KEYS: &'static [&'static str] = &[
        "customRequestHeaders",
        "customResponseHeaders",
        "accessControlAllowCredentials",
        "accessControlAllowHeaders",
        "accessControlAllowMethods",
        "accessControlAllowOriginList",
        "accessControlAllowOriginListRegex",
        "accessControlExposeHeaders",
        "accessControlMaxAge",
        "addVaryHeader",
        "allowedHosts",
        "hostsProxyHeaders",
        "sslProxyHeaders",
        "stsSeconds",
        "stsIncludeSubdomains",
        "stsPreload",
        "forceSTSHeader",
        "frameDeny",
        "customFrameOptionsValue",
        "contentTypeNosniff",
        "browserXssFilter",
        "customBrowserXSSValue",
        "contentSecurityPolicy",
        "contentSecurityPolicyReportOnly",
        "publicKey",
        "referrerPolicy",
        "permissionsPolicy",
        "isDevelopment",
        "featurePolicy",
        "sslRedirect",
        "sslTemporaryRedirect",
        "sslHost",
        "sslForceHost",
    ];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        for (key, instead) in [
            ("featurePolicy", "write permissionsPolicy"),
            ("sslRedirect", "use the middleware redirectScheme"),
            ("sslTemporaryRedirect", "use the middleware redirectScheme"),
            ("sslHost", "use the middleware redirectRegex"),
            ("sslForceHost", "use the middleware redirectRegex"),
        ] {
            if settings.has(key) {
                settings.idle(
                    key,
                    &format!("it has no effect in Traefik v3 either: {instead}"),
                );
            }
        }
        let headers = Self {
            request: custom(settings, "customRequestHeaders")?,
            response: custom(settings, "customResponseHeaders")?,
            cors: Cors::read(settings)?.map(Box::new),
            security: Security::read(settings)?.map(Box::new),
        };
        let empty = headers.request.is_empty() && headers.response.is_empty();
        if empty && headers.cors.is_none() && headers.security.is_none() {
            settings.wrong("customRequestHeaders", "at least one setting of headers");
            return None;
        }
        Some(headers)
    }

    fn request(&self, request: &mut Request<'_>) -> ControlFlow<Answer> {
        if let Some(answer) = self
            .cors
            .as_ref()
            .and_then(|cors| cors.preflight(request.head))
        {
            return ControlFlow::Break(answer);
        }
        for Custom { name, value } in &self.request {
            if name.eq_ignore_ascii_case("Host") {
                if !value.is_empty() {
                    request.head.set_authority(value);
                }
                continue;
            }
            apply(&mut request.head.headers, name, value);
        }
        let refused = self
            .security
            .as_ref()
            .and_then(|security| security.refuse(request));
        refused.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    fn response(&self, response: &mut Response<'_>) -> Option<super::Coding> {
        if let Some(security) = &self.security {
            security.response(response);
        }
        for Custom { name, value } in &self.response {
            apply(&mut response.head.headers, name, value);
        }
        if let Some(cors) = &self.cors {
            let origin = response
                .request
                .headers
                .get(cors::ORIGIN)
                .unwrap_or_default();
            cors.response(origin, &mut response.head.headers);
        }
        None
    }
}

/// Sets the field, or takes it away where there is no value.
fn apply(fields: &mut Fields, name: &str, value: &str) {
    let name = Name::from_token(name.as_bytes());
    fields.remove(name);
    if !value.is_empty() {
        fields.append(name, value.as_bytes());
    }
}

fn set(fields: &mut Fields, name: Name<'_>, value: &[u8]) {
    fields.remove(name);
    fields.append(name, value);
}

fn custom(settings: &mut dyn Settings, key: &'static str) -> Option<Vec<Custom>> {
    let mut fields = Vec::new();
    for (name, value) in settings.table(key) {
        if let Err(allowed) = check(&name, &value) {
            settings.wrong(key, &allowed);
            return None;
        }
        fields.push(Custom {
            name: name.into(),
            value: value.into(),
        });
    }
    // The order of a table says nothing; the same one at every load.
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Some(fields)
}

fn check(field: &str, value: &str) -> Result<(), String> {
    /// What says where a message ends, and about the connection.
    const OWN: [Name<'static>; 7] = [
        name::CONNECTION,
        name::KEEP_ALIVE,
        name::PROXY_CONNECTION,
        name::TRAILER,
        name::TRANSFER_ENCODING,
        name::UPGRADE,
        name::CONTENT_LENGTH,
    ];
    let Some(parsed) = Name::parse(field) else {
        return Err(format!("names of header fields, and {field:?} is none"));
    };
    if !value.is_empty() && OWN.iter().any(|own| own.is(parsed)) {
        return Err(format!("any field but {field}, which weir writes itself"));
    }
    if value
        .bytes()
        .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    {
        return Err(format!("a value of {field} without control characters"));
    }
    let host = parsed.is(name::HOST) && !value.is_empty();
    if host && !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a host name as the value of Host".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
