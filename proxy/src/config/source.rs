//! A configuration file as text.

use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{Origin, Problem, Source};
use crate::limits::DOCUMENT_BYTES_MAX;

/// The text of the file; a problem if it cannot be read, is larger than [`DOCUMENT_BYTES_MAX`] or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Problem> {
    let whole = || Origin::file(path);
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(DOCUMENT_BYTES_MAX as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Problem::error(whole(), "no such file").remedy("create it"),
            ErrorKind::PermissionDenied => Problem::error(whole(), "a file that may not be read")
                .remedy("let the user weir runs as read it"),
            _ => Problem::error(whole(), format!("a file that cannot be read: {error}")),
        })?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(Problem::error(whole(), "a larger file")
            .allowed(format!("at most {DOCUMENT_BYTES_MAX} bytes"))
            .remedy("split it"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        let origin = Origin::of_offset(&Source::file(path), &text, valid);
        Problem::error(origin, "bytes that are not UTF-8").remedy("save the file as UTF-8")
    })
}
