//! What an entry point gives to all routers on it: `http.middlewares`, `http.tls`, `http.redirections`.

use crate::config::Problem;
use crate::config::document::wanted_certificate;
use crate::config::static_file::{EntryPoint, EntryPointTls, HttpOptions, Redirection, keys};
use crate::config::walker::{Cost, Fields, Place, Walker};

/// Traefik's own redirections come before whatever a user can write.
const PRIORITY_DEFAULT: i64 = i64::MAX - 1;

/// Reads them into `options`.
pub(super) fn read(walker: &mut Walker, fields: &Fields<'_>, options: &mut HttpOptions) {
    if let Some(place) = fields.get("middlewares") {
        options.middlewares = walker.strings(&place);
    }
    options.tls = tls(walker, fields);
    let redirections = fields.get("redirections");
    let place = redirections
        .as_ref()
        .and_then(|place| walker.fields(place, &keys::REDIRECTIONS))
        .and_then(|fields| fields.get("entryPoint"));
    options.redirection = place.and_then(|place| redirection(walker, &place));
}

fn tls(walker: &mut Walker, fields: &Fields<'_>) -> Option<EntryPointTls> {
    let Some(place) = fields.get("tls") else {
        return fields.has("tls").then(EntryPointTls::default);
    };
    match place.text() {
        Some("true") => return Some(EntryPointTls::default()),
        Some("false") => return None,
        _ => {}
    }
    let fields = walker.fields(&place, &keys::HTTP_TLS)?;
    let options = fields.get("options").and_then(|place| {
        let name = walker.string(&place)?;
        (!name.is_empty()).then(|| place.spanned(name))
    });
    let wanted = wanted_certificate(walker, &fields);
    Some(EntryPointTls { options, wanted })
}

fn redirection(walker: &mut Walker, place: &Place<'_>) -> Option<Redirection> {
    let fields = walker.fields(place, &keys::REDIRECTION)?;
    let to_place = fields.required(walker, "to")?;
    let to = to_place.spanned(walker.string(&to_place)?);
    let scheme = fields.get("scheme");
    let scheme = scheme.and_then(|place| walker.string(&place));
    let permanent = fields.get("permanent");
    let permanent = permanent.and_then(|place| walker.boolean(&place));
    let priority = fields.get("priority");
    let priority = priority.and_then(|place| walker.integer(&place, i64::MIN..=i64::MAX));
    Some(Redirection {
        to,
        scheme: scheme.unwrap_or_else(|| "https".to_owned()),
        permanent: permanent.unwrap_or(true),
        priority: priority
            .filter(|priority| *priority != 0)
            .unwrap_or(PRIORITY_DEFAULT),
    })
}

/// A redirection leads to a port or to an entry point that is there.
pub(super) fn check(walker: &mut Walker, place: &Place<'_>, entry_points: &[EntryPoint]) {
    for entry_point in entry_points {
        let Some(redirection) = &entry_point.http.redirection else {
            continue;
        };
        if redirection.port(entry_points).is_none() {
            let names: Vec<&str> = entry_points
                .iter()
                .map(|known| known.name.as_str())
                .collect();
            let found = format!(
                "a redirection of {} to {:?}",
                entry_point.name, redirection.to.value
            );
            let problem = Problem::error(redirection.to.origin.clone(), found)
                .allowed(format!("{}, or a port such as :443", names.join(", ")));
            walker.report(Cost::Source, place, problem);
        }
    }
}
