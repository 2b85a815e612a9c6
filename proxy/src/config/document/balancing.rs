//! What a service says besides its servers: `sticky`, `strategy`, and keys that change nothing here.

use std::time::Duration;

use super::keys;
use crate::config::Problem;
use crate::config::walker::{Cost, Fields, Walker};
use crate::limits::{
    HEALTH_INTERVAL_MAX, HEALTH_STREAK_MAX, HOLD_TIME_MAX, PASSIVE_WINDOW, QUEUE_LENGTH,
    QUEUE_LENGTH_MAX, QUEUE_TIME,
};
use crate::service::sticky::Cookie;
use crate::service::{OnFailure, Passive};

/// `sticky.cookie` of a load balancer or a weighted service.
pub(super) fn sticky(walker: &mut Walker, fields: &Fields<'_>) -> Option<Cookie> {
    let place = fields.get("sticky")?;
    let fields = walker.fields(&place, &keys::STICKY)?;
    // `cookie:` with nothing after it means `cookie: {}`.
    let place = fields.entry("cookie")?;
    let fields = walker.fields(&place, &keys::COOKIE)?;
    let sites = [("none", "None"), ("lax", "Lax"), ("strict", "Strict")];
    let flag = |walker: &mut Walker, key| {
        let place = fields.get(key);
        place
            .and_then(|place| walker.boolean(&place))
            .unwrap_or(false)
    };
    let cookie = Cookie {
        name: text(walker, &fields, "name").filter(|name| !name.is_empty()),
        secure: flag(walker, "secure"),
        http_only: flag(walker, "httpOnly"),
        same_site: fields.get("sameSite").and_then(|place| {
            let unset = place.text() == Some("");
            if unset {
                None
            } else {
                walker.choice(&place, &sites)
            }
        }),
        max_age: fields
            .integer(walker, "maxAge", i64::from(i32::MIN)..=i64::from(i32::MAX))
            .unwrap_or(0),
        path: text(walker, &fields, "path"),
        domain: text(walker, &fields, "domain").filter(|domain| !domain.is_empty()),
    };
    Some(cookie)
}

/// `queue`: how many wait for a server with `maxConnections`, and for how long.
pub(super) fn queue(walker: &mut Walker, fields: &Fields<'_>) -> (u32, Duration) {
    let usual = (QUEUE_LENGTH, QUEUE_TIME);
    let Some(place) = fields.get("queue") else {
        return usual;
    };
    let Some(fields) = walker.fields(&place, &keys::QUEUE) else {
        return usual;
    };
    let length = fields.integer(walker, "length", 0..=i64::from(QUEUE_LENGTH_MAX));
    let time = fields
        .get("timeout")
        .and_then(|place| walker.duration(&place));
    (
        length
            .and_then(|length| u32::try_from(length).ok())
            .unwrap_or(usual.0),
        time.unwrap_or(usual.1),
    )
}

/// A text that can stand in an attribute of a cookie.
fn text(walker: &mut Walker, fields: &Fields<'_>, key: &'static str) -> Option<String> {
    let place = fields.get(key)?;
    let allowed = "text without ; and control characters";
    walker.scalar(&place, allowed, |text| {
        let fits = text
            .chars()
            .all(|c| c != ';' && c.is_ascii() && !c.is_ascii_control());
        fits.then(|| text.to_owned())
    })
}

/// Keys that every file of Traefik's may have and that change nothing here, or nothing yet.
pub(super) fn idle(walker: &mut Walker, fields: &Fields<'_>) {
    if let Some(place) = fields.get("strategy")
        && let Some(strategy) = walker.string(&place)
        && !matches!(strategy.as_str(), "wrr" | "")
    {
        let problem = Problem::error(place.origin().clone(), format!("the strategy {strategy:?}"))
            .allowed("wrr")
            .remedy("Traefik has p2c, hrw and leasttime, weir not yet");
        walker.report(Cost::Element, &place, problem);
    }
    if let Some(place) = fields.get("responseForwarding")
        && let Some(fields) = walker.fields(&place, &keys::RESPONSE_FORWARDING)
        && let Some(place) = fields.get("flushInterval")
    {
        // What a server has sent goes on at once.
        walker.duration(&place);
    }
}

/// `passiveHealthCheck` and `holdTime`.
pub(super) fn on_failure(walker: &mut Walker, fields: &Fields<'_>) -> OnFailure {
    let hold_time = fields.get("holdTime").and_then(|place| {
        let time = walker.duration(&place)?;
        if time > HOLD_TIME_MAX {
            walker.wrong(&place, "at most 5m");
        }
        Some(time.min(HOLD_TIME_MAX))
    });
    OnFailure {
        passive: passive(walker, fields).unwrap_or_default(),
        hold_time: hold_time.unwrap_or_default(),
        page: None,
    }
}

/// Traefik's numbers: one failure takes a server out for as long as failures are counted.
fn passive(walker: &mut Walker, fields: &Fields<'_>) -> Option<Passive> {
    let place = fields.get("passiveHealthCheck")?;
    let fields = walker.fields(&place, &keys::PASSIVE_HEALTH_CHECK)?;
    let window = fields.get("failureWindow").and_then(|place| {
        let window = walker.duration(&place)?;
        if window.is_zero() || window > HEALTH_INTERVAL_MAX {
            walker.wrong(&place, "more than 0 and at most 24h");
        }
        Some(window)
    });
    let window = window.unwrap_or(PASSIVE_WINDOW);
    let failures = fields.integer(
        walker,
        "maxFailedAttempts",
        1..=i64::from(HEALTH_STREAK_MAX),
    );
    Some(Passive {
        failures: failures
            .and_then(|failures| u32::try_from(failures).ok())
            .unwrap_or(1),
        window,
        out: window,
        server_errors: true,
    })
}

/// `healthCheck: {}` of a weighted or failover service: what Traefik needs it for, weir does anyway.
pub(super) fn idle_health(walker: &mut Walker, fields: &Fields<'_>) {
    if let Some(place) = fields.get("healthCheck") {
        walker.fields(&place, &keys::NO_KEYS);
    }
}
