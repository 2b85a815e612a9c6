//! The fields of a message: an ordered list in one arena.
//!
//! Two allocations whatever the number of fields, and none when the list is used again after [`Headers::clear`].
//! Removed fields leave their bytes in the arena until then.

use std::ops::Range;

use super::name::{Known, Name};

/// Fields in the order they arrived, names in the case they arrived in. A name may occur several times.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    arena: Vec<u8>,
    fields: Vec<Field>,
    /// Which known names may occur, so that most questions are answered without a look at the fields.
    present: u64,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    known: Known,
    name: Span,
    value: Span,
}

/// A range of the arena. Heads are bounded far below 4 GiB (`limits::HEAD_BYTES_MAX`).
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Headers {
    /// An empty list that has not allocated.
    pub const fn new() -> Self {
        Self {
            arena: Vec::new(),
            fields: Vec::new(),
            present: 0,
        }
    }

    /// How many fields there are; several of one name count each.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields in order, names as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (Name<'_>, &[u8])> + Clone {
        self.fields
            .iter()
            .map(|field| (self.name(field), self.text(field.value)))
    }

    /// The first value of a name.
    pub fn get(&self, name: Name<'_>) -> Option<&[u8]> {
        if !self.may_contain(name.known.bit()) {
            return None;
        }
        let field = self.fields.iter().find(|field| self.name(field).is(name))?;
        Some(self.text(field.value))
    }

    /// Every value of a name, in order.
    pub fn get_all<'a>(&'a self, name: Name<'a>) -> impl Iterator<Item = &'a [u8]> {
        let any = self.may_contain(name.known.bit());
        let fields = if any { &self.fields[..] } else { &[] };
        fields
            .iter()
            .filter(move |field| self.name(field).is(name))
            .map(|field| self.text(field.value))
    }

    /// Whether the name occurs.
    pub fn contains(&self, name: Name<'_>) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field at the end. Carriage returns, line feeds and NULs in the value become spaces: no caller has any
    /// business writing them, and one that does by mistake must not be able to split a message.
    pub fn append(&mut self, name: Name<'_>, value: &[u8]) {
        let name_span = self.store(name.as_bytes());
        let value_span = self.store(value);
        for byte in &mut self.arena[value_span.range()] {
            if matches!(byte, b'\r' | b'\n' | 0) {
                *byte = b' ';
            }
        }
        self.present |= name.known.bit();
        self.fields.push(Field {
            known: name.known,
            name: name_span,
            value: value_span,
        });
    }

    /// Takes every field of the name away; says whether there was one.
    pub fn remove(&mut self, name: Name<'_>) -> bool {
        if !self.may_contain(name.known.bit()) {
            return false;
        }
        let before = self.fields.len();
        self.retain(|candidate, _| !candidate.is(name));
        self.fields.len() != before
    }

    /// Keeps the fields for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(Name<'_>, &[u8]) -> bool) {
        let arena = &self.arena;
        self.fields.retain(|field| {
            let name = Name::with_known(field.known, &arena[field.name.range()]);
            keep(name, &arena[field.value.range()])
        });
    }

    /// Empties the list and keeps its memory for the next message.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.fields.clear();
        self.present = 0;
    }

    /// Bytes that the list holds allocated, for whoever keeps lists between messages.
    pub fn allocated(&self) -> usize {
        self.arena.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// Makes this list hold the fields of a tokenised block, in one copy: names and values are slices of `block`.
    pub(crate) fn adopt<'a>(
        &mut self,
        block: &[u8],
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        self.clear();
        self.arena.extend_from_slice(block);
        for (name, value) in fields {
            let known = Known::of(name);
            let (name, value) = (Span::within(block, name), Span::within(block, value));
            self.present |= known.bit();
            self.fields.push(Field { known, name, value });
        }
    }

    /// Whether a field of one of these names may be there. Sure if the answer is no.
    pub(super) fn may_contain(&self, names: u64) -> bool {
        self.present & names != 0
    }

    fn name(&self, field: &Field) -> Name<'_> {
        Name::with_known(field.known, self.text(field.name))
    }

    fn text(&self, span: Span) -> &[u8] {
        &self.arena[span.range()]
    }

    fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(start, self.arena.len())
    }
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        debug_assert!(u32::try_from(end).is_ok());
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    fn within(block: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
        debug_assert!(part.is_empty() || start + part.len() <= block.len());
        if part.is_empty() {
            Self::new(0, 0)
        } else {
            Self::new(start, start + part.len())
        }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::name;

    fn sample() -> Headers {
        let mut headers = Headers::new();
        headers.append(name::HOST, b"a.example");
        headers.append(Name::literal("X-One"), b"1");
        headers.append(Name::literal("x-one"), b"2");
        headers
    }

    #[test]
    fn names_are_compared_without_case_and_kept_as_written() {
        let headers = sample();
        assert_eq!(headers.get(Name::literal("hOST")), Some(&b"a.example"[..]));
        let values: Vec<_> = headers.get_all(Name::literal("X-ONE")).collect();
        assert_eq!(values, [b"1", b"2"]);
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_bytes()).collect();
        assert_eq!(names, [&b"Host"[..], b"X-One", b"x-one"]);
    }

    #[test]
    fn remove_takes_every_field_of_the_name() {
        let mut headers = sample();
        assert!(headers.remove(Name::literal("X-one")));
        assert_eq!(headers.len(), 1);
        assert!(!headers.remove(Name::literal("x-two")));
    }

    #[test]
    fn a_value_cannot_split_the_message() {
        let mut headers = Headers::new();
        headers.append(Name::literal("x"), b"a\r\nSet-Cookie: b\0c");
        assert_eq!(
            headers.get(Name::literal("x")),
            Some(&b"a  Set-Cookie: b c"[..])
        );
    }

    #[test]
    fn adopted_fields_are_slices_of_one_copy() {
        let block = b"Host: a\r\nX-Empty:\r\n";
        let mut headers = sample();
        headers.adopt(
            block,
            [
                (&block[0..4], &block[6..7]),
                (&block[9..16], &block[17..17]),
            ]
            .into_iter(),
        );
        let fields: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value))
            .collect();
        assert_eq!(fields, [(&b"Host"[..], &b"a"[..]), (b"X-Empty", b"")]);
    }
}
