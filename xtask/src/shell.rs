//! Running other programs, and where things are in the repository.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command of xtask ended: one text for its user.
#[derive(Debug)]
pub struct Failure(String);

/// What every command of xtask comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ is inside the repository")
}

/// Cargo's target directory of this repository.
pub fn target() -> PathBuf {
    repository().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The cargo that runs this xtask, at the top of the repository.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(repository());
    command
}

/// A program at the top of the repository.
pub fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(repository());
    command
}

/// Runs to the end with this process's own terminal; an exit code other than 0 is a failure.
pub fn run(command: &mut Command) -> Outcome {
    let status = command
        .status()
        .map_err(|error| cannot_run(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` ended with {status}", text(command)).into())
    }
}

/// Runs to the end and gives back what it wrote to stdout.
pub fn output(command: &mut Command) -> Outcome<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| cannot_run(command, &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "`{}` ended with {}: {}",
        text(command),
        output.status,
        reason.trim()
    )
    .into())
}

/// The program's path, if a directory of PATH holds it (or an administrator's directory that PATH often lacks).
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(extra)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// PATH with this directory in front.
pub fn path_with(directory: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = [directory.to_owned()]
        .into_iter()
        .chain(env::split_paths(&path));
    env::join_paths(directories).expect("the directories come from a PATH")
}

/// Whether this process may install packages and make namespaces.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn cannot_run(command: &Command, error: &io::Error) -> Failure {
    format!("cannot run `{}`: {error}", text(command)).into()
}

fn text(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
