//! What every matcher checks of its call: the name in the spellings Traefik takes, and the count of arguments.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::regexp::Regexp;
use super::syntax::{Argument, Call, RuleError};

/// Whether `written` is the matcher `declared`: as declared, all lower, all upper, or only the first letter upper,
/// which are the four spellings Traefik registers.
pub(super) fn is_named(written: &str, declared: &str) -> bool {
    let lower = declared.to_ascii_lowercase();
    let (first, rest) = declared.split_at(1);
    written == declared
        || written == lower
        || written == declared.to_ascii_uppercase()
        || written
            .strip_prefix(first)
            .is_some_and(|tail| tail == rest.to_ascii_lowercase())
}

/// The only argument of a call, not empty.
pub(super) fn single(call: &Call) -> Result<&Argument, RuleError> {
    let name = &call.name;
    match call.arguments.as_slice() {
        [argument] if argument.text.is_empty() => Err(RuleError::new(
            argument.offset,
            "an empty string",
            format!("one argument for {name}"),
        )),
        [argument] => Ok(argument),
        [] => Err(RuleError::new(
            call.offset,
            format!("{name}()"),
            format!("one argument for {name}"),
        )),
        [_, second, ..] => {
            let found = format!("{} arguments for {name}", call.arguments.len());
            Err(RuleError::new(second.offset, found, "one")
                .remedy(format!("write {name}(`a`) || {name}(`b`)")))
        }
    }
}

/// The arguments of a call that takes a few, none of them empty.
pub(super) fn texts(call: &Call, count: RangeInclusive<usize>) -> Result<&[Argument], RuleError> {
    let name = &call.name;
    if !count.contains(&call.arguments.len()) {
        let found = format!("{} arguments for {name}", call.arguments.len());
        let allowed = match (*count.start(), *count.end()) {
            (2, 2) => "two, such as (`name`, `value`)",
            _ => "one or two, such as (`key`, `value`)",
        };
        return Err(RuleError::new(call.offset, found, allowed));
    }
    let empty = call
        .arguments
        .iter()
        .find(|argument| argument.text.is_empty());
    match empty {
        Some(argument) => {
            let allowed = format!("arguments with text for {name}");
            Err(RuleError::new(argument.offset, "an empty string", allowed))
        }
        None => Ok(&call.arguments),
    }
}

/// The regular expression of an argument.
pub(super) fn regexp(argument: &Argument) -> Result<Regexp, RuleError> {
    Regexp::new(&argument.text).map_err(|error| {
        let found = format!("{:?}: {}", argument.text, error.found);
        RuleError::new(
            argument.offset,
            found,
            "a regular expression as Go reads them (RE2)",
        )
        .remedy(error.remedy)
    })
}

/// What [`network`] takes.
pub const NETWORK_ALLOWED: &str = "an IP address or CIDR such as 10.0.0.0/8 or 2001:db8::/32";

/// The network of a ClientIP call.
pub(super) fn client_network(call: &Call) -> Result<IpNet, RuleError> {
    let argument = single(call)?;
    network(&argument.text).map_err(|remedy| {
        let found = format!("{:?}", argument.text);
        RuleError::new(argument.offset, found, NETWORK_ALLOWED).remedy(remedy)
    })
}

/// An address or a CIDR, either family; IPv4-mapped IPv6 becomes IPv4.
///
/// # Errors
/// What to do about it; empty where [`NETWORK_ALLOWED`] says it all.
pub fn network(text: &str) -> Result<IpNet, String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| String::new())?;
    let Some(length) = length else {
        return Ok(IpNet::from(address.to_canonical()));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = length
        .parse::<u8>()
        .ok()
        .filter(|length| *length <= most)
        .ok_or_else(|| format!("use a prefix length from 0 to {most}"))?;
    Ok(unmapped(address, length).trunc())
}

/// The network, in IPv4 if it lies wholly among the IPv4-mapped addresses.
fn unmapped(address: IpAddr, length: u8) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let (address, length) = match (address.to_canonical(), address) {
        (IpAddr::V4(v4), IpAddr::V6(_)) if length >= MAPPED_BITS => {
            (IpAddr::V4(v4), length - MAPPED_BITS)
        }
        _ => (address, length),
    };
    IpNet::new_assert(address, length)
}
