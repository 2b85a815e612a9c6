//! What a text must contain for an expression to match: the router index asks few expressions by it.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Shorter ones occur in nearly every text.
const BYTES_MIN: usize = 2;

/// For the expression in the crate's syntax: texts of which each lower-case ASCII text that matches contains all.
pub(super) fn required(expression: &str) -> Vec<Box<[u8]>> {
    let mut literals = Literals::default();
    if let Ok(hir) = ParserBuilder::new().utf8(false).build().parse(expression) {
        literals.visit(&hir);
        literals.cut();
    }
    literals.found
}

#[derive(Default)]
struct Literals {
    found: Vec<Box<[u8]>>,
    /// What the last parts require, one right after the other.
    run: Vec<u8>,
}

impl Literals {
    fn visit(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => self.run.extend_from_slice(&literal.0),
            HirKind::Class(class) => match only_lower_case(class) {
                Some(byte) => self.run.push(byte),
                None => self.cut(),
            },
            HirKind::Capture(capture) => self.visit(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.visit(part)),
            HirKind::Repetition(repetition) => {
                self.cut();
                if repetition.min > 0 {
                    self.visit(&repetition.sub);
                    self.cut();
                }
            }
            HirKind::Alternation(_) => self.cut(),
        }
    }

    fn cut(&mut self) {
        let run = std::mem::take(&mut self.run);
        // A text in lower case has no capital letter and nothing beyond ASCII; what requires one never matches.
        if run.len() >= BYTES_MIN {
            self.found.push(run.into());
        }
    }
}

/// The only byte of a class that a lower-case ASCII text may have: `[Aa]` of `(?i)a`.
fn only_lower_case(class: &Class) -> Option<u8> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class
            .iter()
            .map(|range| (u32::from(range.start()), u32::from(range.end())))
            .collect(),
        Class::Bytes(class) => class
            .iter()
            .map(|range| (u32::from(range.start()), u32::from(range.end())))
            .collect(),
    };
    let within = |byte: &u8| {
        let code = u32::from(*byte);
        ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&code))
    };
    let mut bytes = (0..=127u8)
        .filter(|byte| !byte.is_ascii_uppercase())
        .filter(within);
    let only = bytes.next()?;
    bytes.next().is_none().then_some(only)
}
