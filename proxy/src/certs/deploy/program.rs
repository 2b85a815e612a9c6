//! One run of `deploy.command`: bounded in time and in what it says, with an environment without secrets.

use std::cell::RefCell;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{DEPLOY_DRAIN, DEPLOY_OUTPUT_BYTES_MAX, DEPLOY_PROGRAM};

/// What a command gets of weir's own environment: nothing that may hold a secret of a provider.
const INHERITED: [&str; 8] = [
    "CREDENTIALS_DIRECTORY",
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "SSH_AUTH_SOCK",
    "TZ",
    "USER",
];
/// Where programs are, if nobody has said so.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The last bytes that were said.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let beyond = self.0.len().saturating_sub(DEPLOY_OUTPUT_BYTES_MAX);
        self.0.drain(..beyond);
    }

    /// Whole lines of text that may be shown in a terminal.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let shown = |each: char| match each {
            '\n' => '\n',
            each if each.is_control() => ' ',
            each => each,
        };
        text.trim().chars().map(shown).collect()
    }
}

/// Runs the command in `directory`. Only within a `LocalSet`.
///
/// # Errors
/// How it ended and the last that it said, if it did not end well or in time.
pub(super) async fn run(
    command: &str,
    directory: &Path,
    resolver: Option<&str>,
) -> Result<(), String> {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", PATH)
        .envs(inherited)
        .env("DEPLOY_DIRECTORY", directory)
        .envs(resolver.map(|resolver| ("DEPLOY_RESOLVER", resolver)))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    let tail = Rc::default();
    let readers = [
        collect(child.stdout.take(), &tail),
        collect(child.stderr.take(), &tail),
    ];
    let group = child.id();
    let ended = timeout(DEPLOY_PROGRAM, child.wait()).await;
    if ended.is_err()
        && let Some(group) = group.and_then(|id| i32::try_from(id).ok())
    {
        // Whatever it has started. A group that has gone needs nothing.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let end = Instant::now() + DEPLOY_DRAIN;
    for mut reader in readers {
        // What a server that it has started holds open is not waited for.
        if timeout_at(end, &mut reader).await.is_err() {
            reader.abort();
        }
    }
    let how = match ended {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it has not ended within {DEPLOY_PROGRAM:?} and was stopped"),
    };
    Err(match RefCell::borrow(&tail).text() {
        said if said.is_empty() => how,
        said => format!("{how}: {said}"),
    })
}

fn collect(
    stream: Option<impl AsyncRead + Unpin + 'static>,
    tail: &Rc<RefCell<Tail>>,
) -> JoinHandle<()> {
    let tail = Rc::clone(tail);
    tokio::task::spawn_local(async move {
        let Some(mut stream) = stream else { return };
        let mut bytes = [0; 1024];
        // It is read to its end, so that the program never waits; only the last of it is kept.
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            tail.borrow_mut().add(&bytes[..count]);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::spawn_blocking;
    use tokio::time::advance;

    use super::*;

    async fn within(command: &str) -> Result<(), String> {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(run(command, Path::new("/tmp"), Some("le")))
            .await
    }

    #[tokio::test]
    async fn what_it_says_is_bounded_and_shown_without_controls() {
        let failed = within("printf 'a\\033[31mb\\n' >&2; exit 3").await;
        assert_eq!(failed, Err("exit status: 3: a [31mb".to_owned()));
        let loud = within("yes 0123456789 | head -c 3000000; echo last; exit 1").await;
        let said = loud.expect_err("it failed");
        assert!(said.ends_with("last"), "{said}");
        let length = said.len();
        assert!(
            (DEPLOY_OUTPUT_BYTES_MAX..DEPLOY_OUTPUT_BYTES_MAX + 30).contains(&length),
            "{length}"
        );
    }

    #[tokio::test]
    async fn its_environment_is_known_and_what_it_leaves_running_is_not_waited_for() {
        let known = "test \"$DEPLOY_RESOLVER $DEPLOY_DIRECTORY $PWD\" = 'le /tmp /tmp' && test -z \"$CARGO_MANIFEST_DIR\"";
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert_eq!(within(known).await, Ok(()));
        let start = std::time::Instant::now();
        assert_eq!(within("sleep 30 & exit 0").await, Ok(()));
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }

    /// Each of its two outputs was waited for as long.
    #[tokio::test]
    async fn what_it_leaves_running_may_say_something_for_so_long() {
        let leaving = |time: &str| format!("(sleep {time}; echo more) & echo some; exit 1");
        let said = within(&leaving("0.3")).await.expect_err("it failed");
        assert!(said.ends_with("some\nmore"), "{said}");
        let begin = Instant::now();
        let said = within(&leaving("10")).await.expect_err("it failed");
        assert!(said.ends_with("some"), "{said}");
        let waited = begin.elapsed();
        assert!(
            (DEPLOY_DRAIN..2 * DEPLOY_DRAIN).contains(&waited),
            "{waited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_in_time_or_is_ended() {
        let begin = Instant::now();
        let late = within("exec sleep 600").await.expect_err("late");
        assert!(late.contains("not ended within 120s"), "{late}");
        // What it says is waited for, too.
        let range = DEPLOY_PROGRAM..=DEPLOY_PROGRAM + DEPLOY_DRAIN;
        assert!(range.contains(&begin.elapsed()), "{:?}", begin.elapsed());

        // Time stands still while something blocks.
        let (release, held) = oneshot::channel::<()>();
        let still = spawn_blocking(move || held.blocking_recv());
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("now");
        let command = format!("until [ -e '{}' ]; do sleep 0.02; done", file.display());
        let local = tokio::task::LocalSet::new();
        let in_time = local.run_until(async {
            let run = async move { run(&command, Path::new("/tmp"), None).await };
            let run = tokio::task::spawn_local(run);
            tokio::task::yield_now().await;
            advance(DEPLOY_PROGRAM - Duration::from_millis(1)).await;
            assert!(!run.is_finished());
            std::fs::write(&file, "").expect("a file");
            run.await.expect("no panic")
        });
        assert_eq!(in_time.await, Ok(()));
        release.send(()).expect("somebody waits");
        still.await.expect("no panic").expect("released");
    }
}
