//! Where a head ends.

use std::ops::Range;

use super::{HeadLimits, Reason};
use crate::limits;

/// Looks for the empty line that ends a head, each byte once, however often it is called with more of them.
///
/// Invariant: `start <= line_start <= searched <= input.len()`, and no line before `line_start` ends in a bare LF.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadScan {
    searched: usize,
    /// Where the start line begins, after empty lines.
    start: usize,
    empty_lines: usize,
    /// Where the line begins whose end is looked for.
    line_start: usize,
    /// Where the start line ends, once it has.
    start_line_end: Option<usize>,
    field_lines: usize,
}

/// What is said of a start line that is wrong: in a request and in a response different things.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartLine {
    pub(super) malformed: Reason,
    pub(super) too_long: Reason,
}

/// A whole head within the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeadLines {
    /// The request or status line, without its CR LF.
    pub(super) start_line: Range<usize>,
    /// The field lines with their CR LF, and the empty line.
    pub(super) fields: Range<usize>,
    /// How many field lines that are.
    pub(super) field_lines: usize,
}

impl HeadScan {
    /// `None` as long as the head is not whole.
    pub(super) fn run(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        kind: &StartLine,
    ) -> Result<Option<HeadLines>, Reason> {
        let found = self.find_end(input, limits, kind)?;
        let start_line_end = self.start_line_end.unwrap_or(input.len());
        if start_line_end.saturating_sub(self.start) > limits.request_line {
            return Err(kind.too_long);
        }
        match found {
            Some(lines) if lines.fields.end - self.start > limits.bytes => {
                Err(Reason::HeadTooLarge)
            }
            None if input.len() - self.start >= limits.bytes => Err(Reason::HeadTooLarge),
            found => Ok(found),
        }
    }

    /// The start line, once it is whole, even if the head is not.
    pub(super) fn start_line<'a>(&self, input: &'a [u8]) -> Option<&'a [u8]> {
        Some(&input[self.start..self.start_line_end?])
    }

    /// What there is of a start line that is not whole.
    pub(super) fn partial_start_line<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        &input[self.start..]
    }

    fn find_end(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        kind: &StartLine,
    ) -> Result<Option<HeadLines>, Reason> {
        while let Some(offset) = memchr::memchr(b'\n', &input[self.searched..]) {
            let line_feed = self.searched + offset;
            if !input[self.line_start..line_feed].ends_with(b"\r") {
                return Err(Reason::BareLineFeed);
            }
            let line = self.line_start..line_feed - 1;
            self.searched = line_feed + 1;
            self.line_start = self.searched;
            match self.start_line_end {
                None if line.is_empty() => self.skip_empty_line(kind)?,
                None => self.start_line_end = Some(line.end),
                Some(end) if line.is_empty() => {
                    let (start_line, fields) = (self.start..end, end + 2..self.searched);
                    return Ok(Some(HeadLines {
                        start_line,
                        fields,
                        field_lines: self.field_lines,
                    }));
                }
                Some(_) if self.field_lines == limits.fields => return Err(Reason::TooManyFields),
                Some(_) => self.field_lines += 1,
            }
        }
        self.searched = input.len();
        Ok(None)
    }

    fn skip_empty_line(&mut self, kind: &StartLine) -> Result<(), Reason> {
        self.start = self.line_start;
        self.empty_lines += 1;
        if self.empty_lines > limits::LEADING_EMPTY_LINES_MAX {
            return Err(kind.malformed);
        }
        Ok(())
    }
}
