//! Records made by a program: `EXEC_PATH present|cleanup _acme-challenge.a.example. VALUE`, as lego calls it.
//! Source: <https://go-acme.github.io/lego/dns/exec/>.

use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use super::{Change, Failure, TxtRecord, secret};
use crate::limits::DNS_PROGRAM;

/// Runs it once for each record, one after the other.
pub(super) async fn change(change: Change, records: &[TxtRecord]) -> Result<(), Failure> {
    let action = match change {
        Change::Present => "present",
        Change::CleanUp => "cleanup",
    };
    let program = secret::required("EXEC_PATH").map_err(Failure::Authority)?;
    run_program(&program, action, records).await
}

async fn run_program(program: &str, action: &str, records: &[TxtRecord]) -> Result<(), Failure> {
    for record in records {
        let child = Command::new(program)
            .args([action, &format!("{}.", record.name), &record.value])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(DNS_PROGRAM, child).await;
        let said = |said: String| Failure::Names(vec![(record.proves.clone(), said)]);
        let output = output.map_err(|_| {
            said(format!(
                "{program} {action} has not ended within {DNS_PROGRAM:?}"
            ))
        })?;
        let output = output
            .map_err(|error| Failure::Authority(format!("{program} cannot be run: {error}")))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.trim().lines().last().unwrap_or_default();
            return Err(said(format!(
                "{program} {action} {}: {}: {last}",
                record.name, output.status
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::spawn_blocking;
    use tokio::time::{Instant, advance};

    use super::*;

    /// A run of a program that ends once this file is there.
    async fn until(file: &str) -> Result<(), Failure> {
        let record = TxtRecord {
            proves: "a.example".to_owned(),
            name: "_acme-challenge.a.example".to_owned(),
            value: file.to_owned(),
            token: String::new(),
            authorization: String::new(),
        };
        let script = format!("{file}.sh");
        fs::write(&script, "until [ -e \"$2\" ]; do sleep 0.02; done").expect("a script");
        // The shell takes the action for its script.
        run_program("/bin/sh", &script, &[record]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_ends_in_time_or_is_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| directory.path().join(name).display().to_string();
        let begin = Instant::now();
        let Err(Failure::Names(said)) = until(&file("never")).await else {
            panic!("it has not ended");
        };
        assert!(said[0].1.contains("not ended within 60s"), "{said:?}");
        assert_eq!(begin.elapsed(), DNS_PROGRAM);

        // Time stands still while something blocks.
        let (release, held) = oneshot::channel::<()>();
        let still = spawn_blocking(move || held.blocking_recv());
        let now = file("now");
        let run = tokio::spawn({
            let now = now.clone();
            async move { until(&now).await }
        });
        tokio::task::yield_now().await;
        advance(DNS_PROGRAM - Duration::from_millis(1)).await;
        assert!(!run.is_finished());
        fs::write(&now, "").expect("a file");
        assert!(run.await.expect("no panic").is_ok());
        release.send(()).expect("somebody waits");
        still.await.expect("no panic").expect("released");
    }
}
