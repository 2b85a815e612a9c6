//! What an expression can say of a host name: whether any name matches at all, and whether it is held at its ends.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::Regexp;

/// Never in a host as rules see it: capital letters, and what ends or delimits an authority.
const NEVER: &[u8] = br#"\/?#@<>"^`{|} "#;

impl Regexp {
    /// Whether some host name matches.
    pub fn can_match_a_host(&self) -> bool {
        self.hir().is_none_or(|hir| possible(&hir))
    }

    /// Whether it is held at the beginning of the name, and at the end.
    pub fn anchors(&self) -> (bool, bool) {
        let Some(hir) = self.hir() else {
            return (true, true);
        };
        let (all, suffix) = (
            hir.properties().look_set(),
            hir.properties().look_set_suffix(),
        );
        (all.contains(Look::Start), suffix.contains(Look::End))
    }

    fn hir(&self) -> Option<Hir> {
        ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(self.regex.as_str())
            .ok()
    }
}

fn possible(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => literal.0.iter().all(|byte| of_a_host(*byte)),
        HirKind::Class(Class::Unicode(class)) => class.iter().any(|range| {
            (0..128).any(|byte: u8| {
                (range.start()..=range.end()).contains(&char::from(byte)) && of_a_host(byte)
            })
        }),
        HirKind::Class(Class::Bytes(class)) => class
            .iter()
            .any(|range| (range.start()..=range.end()).any(of_a_host)),
        HirKind::Repetition(repetition) => repetition.min == 0 || possible(&repetition.sub),
        HirKind::Capture(capture) => possible(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(possible),
        HirKind::Alternation(parts) => parts.iter().any(possible),
    }
}

fn of_a_host(byte: u8) -> bool {
    byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !NEVER.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_can_match() {
        for (text, possible, anchors) in [
            (r"^.+\.usegalaxy\.eu$", true, (true, true)),
            (r"^.+\.usegalaxy\.eu", true, (true, false)),
            (r"^.+\\.climate\\.usegalaxy.eu", false, (true, false)),
            (r"a\.example", true, (false, false)),
            (r"(^|\.)a\.example$", true, (true, true)),
            (r"^[A-Z]+$", false, (true, true)),
            (r"^(?i)A$", true, (true, true)),
            (r"^a/b$", false, (true, true)),
            (r"^a(/b)?$", true, (true, true)),
            (r"^(é|x)$", true, (true, true)),
            ("", true, (false, false)),
        ] {
            let regexp = Regexp::new(text).unwrap();
            assert_eq!(
                (regexp.can_match_a_host(), regexp.anchors()),
                (possible, anchors),
                "{text}"
            );
        }
    }
}
