//! A configuration file as text.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use super::{Origin, Problem};
use crate::limits::DOCUMENT_BYTES_MAX;

/// The text of the file; a problem if it cannot be read, is larger than [`DOCUMENT_BYTES_MAX`] or is not UTF-8.
pub fn read(path: &Arc<Path>) -> Result<String, Problem> {
    let whole = || Origin {
        file: path.clone(),
        line: 0,
        column: 0,
    };
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
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        let start = valid
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let column = 1 + String::from_utf8_lossy(&valid[start..]).chars().count();
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let origin = Origin {
            line: number(line),
            column: number(column),
            ..whole()
        };
        Problem::error(origin, "bytes that are not UTF-8").remedy("save the file as UTF-8")
    })
}
