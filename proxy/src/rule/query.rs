//! The query of a request as Go's `url.ParseQuery` reads it, with `;` taken for `&` as Traefik does by default.

use std::borrow::Cow;

/// Whether `test` holds for one of the values of `key`.
pub(super) fn has(query: &str, key: &str, test: impl Fn(&[u8]) -> bool) -> bool {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs.into_iter().any(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A pair with a broken escape, in the key or in the value, does not count.
        decoded(found).is_some_and(|found| *found == *key.as_bytes())
            && decoded(value).is_some_and(|value| test(&value))
    })
}

/// `+` and `%XX` decoded; `None` where an escape is broken.
fn decoded(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |rest: &mut std::str::Bytes<'_>| char::from(rest.next()?).to_digit(16);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(digit(&mut rest)? * 16 + digit(&mut rest)?).ok()?,
            other => other,
        });
    }
    Some(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_as_go_does() {
        for (query, key, value, expected) in [
            ("a=1&b=2", "b", "2", true),
            ("a=1;b=2", "b", "2", true),
            ("a=1&a=2", "a", "2", true),
            ("a", "a", "", true),
            ("a=", "a", "", true),
            ("a=x+y%21", "a", "x y!", true),
            ("%61=1", "a", "1", true),
            ("a=%zz", "a", "%zz", false),
            ("a=%4", "a", "%4", false),
            ("A=1", "a", "1", false),
            ("", "a", "", false),
            ("&&", "", "", false),
            ("a=b=c", "a", "b=c", true),
        ] {
            let found = has(query, key, |found| found == value.as_bytes());
            assert_eq!(found, expected, "{query} {key} {value}");
        }
    }
}
