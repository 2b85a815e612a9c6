//! What providers take from outside: variables of the environment, the files these name (`X_FILE`, as in Traefik), and
//! systemd's credentials. Never shown.

use std::path::Path;

/// The value of `name`.
///
/// # Errors
/// One line that says where it may be given; or that the file that is named cannot be read.
pub(super) fn required(name: &str) -> Result<String, String> {
    optional(name)?.ok_or_else(|| {
        format!(
            "{name} is not set: give it as a variable, as a file that {name}_FILE names, or as a systemd credential"
        )
    })
}

/// The value of `name`, if it is given.
///
/// # Errors
/// That the file that is named cannot be read.
pub(super) fn optional(name: &str) -> Result<Option<String>, String> {
    if let Ok(value) = std::env::var(name) {
        return Ok(Some(value));
    }
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map(|text| Some(text.trim().to_owned()))
            .map_err(|error| format!("{name}: {}: {error}", path.display()))
    };
    if let Ok(path) = std::env::var(format!("{name}_FILE")) {
        return read(Path::new(&path));
    }
    let credential =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|directory| Path::new(&directory).join(name));
    match credential.filter(|path| path.exists()) {
        Some(path) => read(&path),
        None => Ok(None),
    }
}
