//! What browsers are told about security, and which hosts may be asked for: Traefik's use of unrolled/secure.

use super::set;
use crate::http::{Name, RequestHead, Status};
use crate::middleware::{Answer, Request, Response, Settings};

const STS: Name<'static> = Name::literal("Strict-Transport-Security");
const HPKP: Name<'static> = Name::literal("Public-Key-Pins");

#[derive(Debug)]
pub(super) struct Security {
    allowed_hosts: Vec<String>,
    host_fields: Vec<String>,
    tls_fields: Vec<(String, String)>,
    /// The value, where there is one.
    sts: Option<String>,
    force_sts: bool,
    public_key: Option<String>,
    /// On every response.
    always: Vec<(Name<'static>, String)>,
    is_development: bool,
}

impl Security {
    /// `Some(None)` where nothing about security is set.
    pub(super) fn read(settings: &mut dyn Settings) -> Option<Option<Self>> {
        let security = Self {
            allowed_hosts: settings.texts("allowedHosts"),
            host_fields: names(settings, "hostsProxyHeaders")?,
            tls_fields: settings.table("sslProxyHeaders"),
            sts: sts(settings),
            force_sts: settings.flag("forceSTSHeader"),
            public_key: settings.text("publicKey").filter(|key| !key.is_empty()),
            always: always(settings),
            is_development: settings.flag("isDevelopment"),
        };
        if security
            .tls_fields
            .iter()
            .any(|(name, _)| Name::parse(name).is_none())
        {
            settings.wrong("sslProxyHeaders", "names of header fields with values");
            return None;
        }
        let any = !security.allowed_hosts.is_empty()
            || !security.host_fields.is_empty()
            || !security.tls_fields.is_empty()
            || security.sts.is_some()
            || settings.has("stsSeconds")
            || security.force_sts
            || security.public_key.is_some()
            || !security.always.is_empty()
            || security.is_development;
        Some(any.then_some(security))
    }

    /// The answer to a request for a host that is not allowed.
    pub(super) fn refuse(&self, request: &Request<'_>) -> Option<Answer> {
        if self.allowed_hosts.is_empty() || self.is_development {
            return None;
        }
        let head = &request.head;
        let named = self.host_fields.iter().filter_map(|name| field(head, name));
        let host = named.into_iter().find(|host| !host.is_empty());
        let host = host.unwrap_or(head.authority().as_bytes());
        let allowed = |name: &String| host.eq_ignore_ascii_case(name.as_bytes());
        let good = self.allowed_hosts.iter().any(allowed);
        (!good).then(|| Answer::text(Status::INTERNAL_SERVER_ERROR, "Bad Host\n"))
    }

    pub(super) fn response(&self, response: &mut Response<'_>) {
        let tls = response.tls
            || self.tls_fields.iter().any(|(name, value)| {
                field(response.request, name).unwrap_or_default() == value.as_bytes()
            });
        let fields = &mut response.head.headers;
        if let Some(value) = &self.sts
            && (tls || self.force_sts)
            && !self.is_development
        {
            set(fields, STS, value.as_bytes());
        }
        if let Some(key) = &self.public_key
            && tls
            && !self.is_development
        {
            set(fields, HPKP, key.as_bytes());
        }
        for (name, value) in &self.always {
            set(fields, *name, value.as_bytes());
        }
    }
}

fn field<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    head.headers.get(Name::from_token(name.as_bytes()))
}

fn names(settings: &mut dyn Settings, key: &'static str) -> Option<Vec<String>> {
    let names = settings.texts(key);
    if names.iter().any(|name| Name::parse(name).is_none()) {
        settings.wrong(key, "a list of names of header fields");
        return None;
    }
    Some(names)
}

fn sts(settings: &mut dyn Settings) -> Option<String> {
    let subdomains = settings.flag("stsIncludeSubdomains");
    let preload = settings.flag("stsPreload");
    let seconds = settings
        .integer("stsSeconds", 0..=i64::MAX)
        .filter(|seconds| *seconds != 0)?;
    let mut value = format!("max-age={seconds}");
    if subdomains {
        value.push_str("; includeSubdomains");
    }
    if preload {
        value.push_str("; preload");
    }
    Some(value)
}

/// The fields whose value does not depend on the request.
fn always(settings: &mut dyn Settings) -> Vec<(Name<'static>, String)> {
    let mut fields = Vec::new();
    for (own, switch, switched, name) in [
        (
            "customFrameOptionsValue",
            "frameDeny",
            "DENY",
            Name::literal("X-Frame-Options"),
        ),
        (
            "customBrowserXSSValue",
            "browserXssFilter",
            "1; mode=block",
            Name::literal("X-XSS-Protection"),
        ),
    ] {
        let default = settings.flag(switch).then(|| switched.to_owned());
        let own = settings.text(own).filter(|own| !own.is_empty());
        fields.extend(own.or(default).map(|value| (name, value)));
    }
    if settings.flag("contentTypeNosniff") {
        let name = Name::literal("X-Content-Type-Options");
        fields.push((name, "nosniff".to_owned()));
    }
    for (key, name) in [
        ("contentSecurityPolicy", "Content-Security-Policy"),
        (
            "contentSecurityPolicyReportOnly",
            "Content-Security-Policy-Report-Only",
        ),
        ("referrerPolicy", "Referrer-Policy"),
        ("permissionsPolicy", "Permissions-Policy"),
    ] {
        let value = settings.text(key).filter(|value| !value.is_empty());
        fields.extend(value.map(|value| (Name::literal(name), value)));
    }
    fields
}
