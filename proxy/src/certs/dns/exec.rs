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
    for record in records {
        let child = Command::new(&program)
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
