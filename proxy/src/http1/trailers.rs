//! The fields after a chunked body (RFC 9112 section 7.1.2).

use super::{Reason, fields};
use crate::http::{Headers, hop, name};
use crate::limits;

/// Bounds on the fields after a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrailerLimits {
    /// Bytes of all of them as HTTP/1.1 has them, line ends and the empty line included.
    pub bytes: usize,
    /// Number of field lines.
    pub fields: usize,
}

impl Default for TrailerLimits {
    fn default() -> Self {
        Self {
            bytes: limits::TRAILER_BYTES_MAX,
            fields: limits::TRAILER_FIELDS_MAX,
        }
    }
}

impl TrailerLimits {
    /// Whether fields that came in another form are within them.
    ///
    /// # Errors
    /// [`Reason::TrailersTooLarge`]
    pub fn check<'a>(
        &self,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Reason> {
        let (mut bytes, mut count) = (LINE_END, 0);
        for (name, value) in fields {
            bytes += name.len() + SEPARATOR + value.len() + LINE_END;
            count += 1;
        }
        match bytes > self.bytes || count > self.fields {
            true => Err(Reason::TrailersTooLarge),
            false => Ok(()),
        }
    }
}

/// Bytes of CR LF, and of what stands between a name and its value.
const LINE_END: usize = 2;
const SEPARATOR: usize = 2;

/// A trailer section while it arrives, and its fields once it is whole.
#[derive(Clone, Debug, Default)]
pub(super) struct TrailerSection {
    text: Vec<u8>,
    line_start: usize,
    lines: usize,
    fields: Headers,
}

impl TrailerSection {
    /// Takes bytes up to the empty line that ends the section: how many, and whether it has ended. The usual section
    /// is that empty line alone, for which nothing is allocated.
    pub(super) fn feed(
        section: &mut Option<Box<Self>>,
        limits: &TrailerLimits,
        input: &[u8],
    ) -> Result<(usize, bool), Reason> {
        if section.is_none() && input.starts_with(b"\r\n") {
            return Ok((2, true));
        }
        section.get_or_insert_default().take_line(limits, input)
    }

    /// The fields that may be forwarded; empty before the end of the section.
    pub(super) fn fields(&self) -> &Headers {
        &self.fields
    }

    fn take_line(&mut self, limits: &TrailerLimits, input: &[u8]) -> Result<(usize, bool), Reason> {
        let line_feed = memchr::memchr(b'\n', input);
        let taken = line_feed.map_or(input.len(), |at| at + 1);
        if self.text.len() + taken > limits.bytes {
            return Err(Reason::TrailersTooLarge);
        }
        self.text.extend_from_slice(&input[..taken]);
        if line_feed.is_none() {
            return Ok((taken, false));
        }
        let line = &self.text[self.line_start..];
        if !line.ends_with(b"\r\n") {
            return Err(Reason::TrailerSyntax);
        }
        if line.len() > 2 {
            self.line_start = self.text.len();
            self.lines += 1;
            return Ok((taken, false));
        }
        self.finish(limits)?;
        Ok((taken, true))
    }

    fn finish(&mut self, limits: &TrailerLimits) -> Result<(), Reason> {
        if self.lines > limits.fields {
            return Err(Reason::TrailersTooLarge);
        }
        fields::tokenise(&self.text, self.lines, &mut self.fields)
            .map_err(|_| Reason::TrailerSyntax)?;
        retain_trailers(&mut self.fields);
        Ok(())
    }
}

/// Drops what must not come after a body.
pub fn retain_trailers(fields: &mut Headers) {
    fields.retain(|name, _| {
        !hop::is_hop_by_hop(name) && !FORBIDDEN.iter().any(|forbidden| name.is(*forbidden))
    });
}

/// What must not come after a body, since it decides about framing, routing or trust (RFC 9110 section 6.5.1). Such
/// fields are dropped, the others stay trailers: weir never merges them into the head.
const FORBIDDEN: [name::Name<'static>; 21] = [
    name::HOST,
    name::CONTENT_LENGTH,
    name::TRAILER,
    name::EXPECT,
    name::AUTHORIZATION,
    name::COOKIE,
    name::SET_COOKIE,
    name::MAX_FORWARDS,
    name::X_REAL_IP,
    name::X_FORWARDED_FOR,
    name::X_FORWARDED_HOST,
    name::X_FORWARDED_PORT,
    name::X_FORWARDED_PROTO,
    name::X_FORWARDED_SERVER,
    name::X_FORWARDED_URI,
    name::X_REQUEST_ID,
    name::Name::literal("X-Forwarded-Prefix"),
    name::Name::literal("Forwarded"),
    name::CONTENT_TYPE,
    name::Name::literal("Content-Encoding"),
    name::Name::literal("Content-Range"),
];
