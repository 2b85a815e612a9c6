//! The line before a chunk: its size and extensions (RFC 9112 section 7.1).

use super::Reason;
use crate::http::name::is_tchar;
use crate::limits;

/// A chunk line, byte by byte. Extensions are checked and dropped: none is defined, and proxies may remove them.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkLine {
    place: Place,
    size: u64,
    /// Bytes of the line so far.
    length: u16,
    /// Those of them that are no digits of the size.
    extension: u16,
}

/// `1*HEXDIG *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    BeforeSize,
    InSize,
    /// White space where only `;` can follow.
    BeforeSemicolon,
    BeforeName,
    InName,
    /// White space after a name.
    AfterName,
    BeforeValue,
    InToken,
    InQuotes,
    Escaped,
    AfterQuotes,
    LineFeed,
}

const _: () = assert!(limits::CHUNK_LINE_BYTES_MAX < u16::MAX as usize);
/// Digits that fit in 64 bits, zeros before them included.
const SIZE_DIGITS_MAX: u16 = 16;

impl ChunkLine {
    /// How many bytes of `input` belong to the line, and the size if the line has ended with them.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<u64>), Reason> {
        for (index, &byte) in input.iter().enumerate() {
            if self.place == Place::LineFeed {
                return if byte == b'\n' {
                    Ok((index + 1, Some(self.size)))
                } else {
                    Err(self.reason())
                };
            }
            self.length += 1;
            if usize::from(self.length) > limits::CHUNK_LINE_BYTES_MAX {
                return Err(self.reason());
            }
            self.place = self.next(byte).ok_or(self.reason())?;
            match self.place {
                Place::InSize => self.add_digit(byte)?,
                Place::LineFeed => {}
                _ => self.extension += 1,
            }
        }
        Ok((input.len(), None))
    }

    /// Bytes of the line that were extensions, so far.
    pub(super) fn extension_bytes(&self) -> usize {
        usize::from(self.extension)
    }

    fn next(&self, byte: u8) -> Option<Place> {
        use Place::*;
        Some(match (self.place, byte) {
            (BeforeSize | InSize, _) if byte.is_ascii_hexdigit() => InSize,
            (InSize | InName | InToken | AfterQuotes, b'\r') => LineFeed,
            (InSize | InName | InToken | AfterQuotes | BeforeSemicolon | AfterName, b';') => {
                BeforeName
            }
            (InSize | BeforeSemicolon | InToken | AfterQuotes, b' ' | b'\t') => BeforeSemicolon,
            (BeforeName, b' ' | b'\t') => BeforeName,
            (BeforeName | InName, _) if is_tchar(byte) => InName,
            (InName | AfterName, b' ' | b'\t') => AfterName,
            (InName | AfterName, b'=') => BeforeValue,
            (BeforeValue, b' ' | b'\t') => BeforeValue,
            (BeforeValue, b'"') => InQuotes,
            (BeforeValue | InToken, _) if is_tchar(byte) => InToken,
            (InQuotes, b'"') => AfterQuotes,
            (InQuotes, b'\\') => Escaped,
            (InQuotes | Escaped, b'\t' | b' '..=b'~' | 0x80..) => InQuotes,
            _ => return None,
        })
    }

    fn add_digit(&mut self, byte: u8) -> Result<(), Reason> {
        let digit = (byte as char).to_digit(16).ok_or(Reason::ChunkSize)?;
        if self.length > SIZE_DIGITS_MAX {
            return Err(Reason::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(())
    }

    fn reason(&self) -> Reason {
        match self.place {
            Place::BeforeSize | Place::InSize => Reason::ChunkSize,
            _ if self.extension == 0 => Reason::ChunkSize,
            _ => Reason::ChunkExtension,
        }
    }
}
