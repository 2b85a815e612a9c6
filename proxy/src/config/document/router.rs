//! `http.routers` and `tcp.routers`.

use super::{RouterDraft, WantedCertificate, keys};
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Keys, Place, Spanned, Walker};
use crate::rule::{HttpMatcher, Matcher, RuleError, TcpMatcher};

/// The largest priority Traefik leaves to users.
const PRIORITY_MAX: i64 = i64::MAX - 1_000;

const STEERED: &str = "a steered router sees nothing but the packet's source address";

/// A router of `http.routers`.
pub(super) fn http(walker: &mut Walker, place: &Place<'_>) -> Option<RouterDraft<HttpMatcher>> {
    let fields = walker.fields(place, &keys::HTTP_ROUTER)?;
    let place = fields.get("tls");
    let inner = place
        .as_ref()
        .and_then(|place| switch(walker, place, &keys::HTTP_ROUTER_TLS));
    let tls = inner.is_some() || is_bare(&fields, "tls");
    refuse_old_syntax(walker, &fields);
    let inner = inner.flatten();
    let wanted = inner
        .as_ref()
        .and_then(|fields| certificate(walker, fields));
    let options = inner.and_then(|fields| options(walker, &fields));
    let mut draft = router(walker, &fields, tls, |error| error)?;
    draft.wanted = wanted;
    draft.tls_options = options;
    if let Some(place) = fields.get("middlewares") {
        draft.middlewares = walker.strings(&place);
    }
    Some(draft)
}

/// A router of `tcp.routers`.
pub(super) fn tcp(walker: &mut Walker, place: &Place<'_>) -> Option<RouterDraft<TcpMatcher>> {
    let fields = walker.fields(place, &keys::TCP_ROUTER)?;
    let steer_place = fields.get("steer");
    let steered = steer_place
        .as_ref()
        .and_then(|place| walker.boolean(place))
        .unwrap_or(false);
    refuse_beside(walker, &fields, steered);
    refuse_old_syntax(walker, &fields);
    let Tls {
        asked: tls,
        passthrough,
        options,
        wanted,
    } = tcp_tls(walker, &fields, steered);
    let explain = |error: RuleError| match steered {
        true => RuleError {
            allowed: "ClientIP, HostSNI(`*`)".to_owned(),
            ..error.remedy(STEERED)
        },
        false => error,
    };
    let mut draft = router(walker, &fields, tls, explain)?;
    draft.passthrough = passthrough;
    draft.tls_options = options;
    draft.wanted = wanted;
    draft.steer = steer_place
        .filter(|_| steered)
        .map(|place| place.origin().clone());
    Some(draft)
}

fn router<M: Matcher>(
    walker: &mut Walker,
    fields: &Fields<'_>,
    tls: bool,
    explain: impl FnOnce(RuleError) -> RuleError,
) -> Option<RouterDraft<M>> {
    let rule_place = fields.required(walker, "rule");
    let service_place = fields.required(walker, "service");
    let rule = rule_place.and_then(|place| walker.rule(&place, explain));
    let service = service_place.and_then(|place| Some(place.spanned(walker.string(&place)?)));
    let priority = fields.integer(walker, "priority", i64::MIN..=PRIORITY_MAX);
    let entry_points = fields
        .get("entryPoints")
        .map(|place| walker.strings(&place));
    Some(RouterDraft {
        entry_points: entry_points.filter(|names: &Vec<Spanned<String>>| !names.is_empty()),
        rule: rule?,
        service: service?,
        priority: priority.filter(|priority| *priority != 0),
        tls,
        passthrough: false,
        middlewares: Vec::new(),
        tls_options: None,
        wanted: None,
        steer: None,
    })
}

/// Traefik's default for both kinds of file is v3; its v2 is another language.
fn refuse_old_syntax(walker: &mut Walker, fields: &Fields<'_>) {
    if let Some(place) = fields.get("ruleSyntax")
        && let Some(syntax) = walker.string(&place)
        && !["v3", "default", ""].contains(&syntax.as_str())
    {
        let found = format!("ruleSyntax {syntax:?}");
        let problem = Problem::error(place.origin().clone(), found)
            .allowed("v3, default")
            .remedy("write the rule in v3: Header for Headers, Host(`a`) || Host(`b`) for Host(`a`, `b`), HostRegexp(`^.+$`) for {name:.+}");
        walker.report(Cost::Element, &place, problem);
    }
}

/// `tls.options`: a name, perhaps with its provider. Nothing is the default.
fn options(walker: &mut Walker, fields: &Fields<'_>) -> Option<Spanned<String>> {
    let place = fields.get("options")?;
    let name = walker.string(&place)?;
    (!name.is_empty()).then(|| place.spanned(name))
}

/// `tls.certResolver` and `tls.domains`.
pub(in crate::config) fn certificate(
    walker: &mut Walker,
    fields: &Fields<'_>,
) -> Option<WantedCertificate> {
    let resolver = fields.get("certResolver");
    let resolver = resolver.and_then(|place| Some(place.spanned(walker.string(&place)?)));
    let domains = fields.get("domains").map_or_else(Vec::new, |list| {
        let items = walker.items(&list);
        items
            .iter()
            .filter_map(|item| domain(walker, item))
            .collect()
    });
    (resolver.is_some() || !domains.is_empty()).then_some(WantedCertificate { resolver, domains })
}

pub(super) fn domain(walker: &mut Walker, place: &Place<'_>) -> Option<Vec<String>> {
    let fields = walker.fields(place, &keys::DOMAIN)?;
    let main = fields.required(walker, "main")?;
    let mut names = vec![walker.string(&main)?];
    if let Some(place) = fields.get("sans") {
        let sans = walker.strings(&place).into_iter();
        names.extend(sans.map(|name| name.value));
    }
    Some(names)
}

/// `tls:` with nothing after it means `tls: {}`, as in Traefik.
fn is_bare(fields: &Fields<'_>, key: &'static str) -> bool {
    fields.has(key) && fields.get(key).is_none()
}

/// A mapping, or `true` for an empty one. `None` where it is `false`.
fn switch<'a>(
    walker: &mut Walker,
    place: &'a Place<'a>,
    keys: &Keys,
) -> Option<Option<Fields<'a>>> {
    match place.text() {
        Some("true") => Some(None),
        Some("false") => None,
        _ => Some(walker.fields(place, keys)),
    }
}

fn refuse_beside(walker: &mut Walker, fields: &Fields<'_>, steered: bool) {
    for key in ["middlewares", "proxyProtocol"] {
        if let Some(place) = fields.get(key) {
            let problem = Problem::error(place.origin().clone(), format!("{key} on a tcp router"));
            let remedy = match (steered, key) {
                (true, _) => format!("{STEERED}: remove {key} or steer"),
                (false, "middlewares") => "Traefik has it, weir not yet".to_owned(),
                (false, _) => "remove it".to_owned(),
            };
            walker.report(Cost::Element, &place, problem.remedy(remedy));
        }
    }
}

/// `tls` of a TCP router.
struct Tls {
    /// It is there.
    asked: bool,
    passthrough: bool,
    options: Option<Spanned<String>>,
    wanted: Option<WantedCertificate>,
}

fn tcp_tls(walker: &mut Walker, fields: &Fields<'_>, steered: bool) -> Tls {
    let place = fields.get("tls");
    let inner = place
        .as_ref()
        .and_then(|place| switch(walker, place, &keys::TCP_ROUTER_TLS));
    let asked = inner.is_some() || is_bare(fields, "tls");
    let inner = inner.flatten();
    let wanted = inner
        .as_ref()
        .and_then(|fields| certificate(walker, fields));
    let options = inner.as_ref().and_then(|fields| options(walker, fields));
    let key = inner.as_ref().and_then(|fields| fields.get("passthrough"));
    let passed = key
        .and_then(|place| walker.boolean(&place))
        .unwrap_or(false);
    if let Some(options) = options.as_ref().filter(|_| passed) {
        let problem = Problem::warning(options.origin.clone(), "options beside passthrough")
            .remedy("remove it: TLS goes on to the server, which agrees on what it likes");
        let at = place.unwrap_or(*fields.place());
        walker.report(Cost::Element, &at, problem);
    }
    if asked && !passed && steered {
        let at = place.unwrap_or(*fields.place());
        let problem = Problem::error(at.origin().clone(), "tls without passthrough")
            .allowed("tls.passthrough: true")
            .remedy("a steered connection goes to its server with its TLS untouched");
        walker.report(Cost::Element, &at, problem);
    }
    Tls {
        asked,
        passthrough: passed,
        options,
        wanted,
    }
}
