//! The asking end. Blocks.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Answer, Request, SOCKET};
use crate::limits::{ADMIN_ANSWER, ADMIN_PATIENCE};

/// Asks the process that runs with this runtime directory, and hands over each line of its answer.
///
/// # Errors
/// One line: nobody runs, or may be asked, or it does not answer.
pub fn ask(
    runtime_dir: &Path,
    request: &Request,
    mut each: impl FnMut(Answer),
) -> Result<(), String> {
    let path = runtime_dir.join(SOCKET);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!(
                "no weir runs with this configuration ({}: {error})",
                path.display()
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "{}: {error}: ask as root, or as the user that weir runs as",
                path.display()
            )
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "weir has not answered in time".to_owned()
        }
        _ => format!("{}: {error}", path.display()),
    };
    let stream = connect(&path).map_err(failed)?;
    let line = serde_json::to_string(request).map_err(|error| error.to_string())?;
    writeln!(&stream, "{line}").map_err(failed)?;
    for line in BufReader::new(&stream).lines() {
        let line = line.map_err(failed)?;
        let answer = serde_json::from_str(&line)
            .map_err(|error| format!("an answer that is not of this version: {error}"))?;
        match answer {
            Answer::Refused(reason) => return Err(reason),
            Answer::Done { .. } => {
                each(answer);
                return Ok(());
            }
            answer => each(answer),
        }
    }
    Err("weir has ended before it had answered".to_owned())
}

/// A connection that waits no longer than it should.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ADMIN_ANSWER))?;
    stream.set_write_timeout(Some(ADMIN_PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// The kernel keeps the time: what it was told is what it does.
    #[test]
    fn an_answer_is_waited_for_as_long_as_it_may_take() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SOCKET);
        let _listener = UnixListener::bind(&path).unwrap();
        let stream = connect(&path).unwrap();
        assert_eq!(stream.read_timeout().unwrap(), Some(ADMIN_ANSWER));
        assert_eq!(stream.write_timeout().unwrap(), Some(ADMIN_PATIENCE));
    }
}
