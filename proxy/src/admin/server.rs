//! The answering end: tasks of the control thread that read and write, and hand over what is asked.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::warn;

use super::{Answer, Request, SOCKET};
use crate::limits::{
    ADMIN_CONNECTIONS_MAX, ADMIN_PATIENCE, ADMIN_REQUEST_BYTES_MAX, ADMIN_WRITE_BYTES,
};

/// What somebody asks, and where the answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub request: Request,
    /// The user who asks.
    pub user: u32,
    /// All lines at once.
    pub answers: oneshot::Sender<Vec<Answer>>,
}

/// The socket, until dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    /// Its device and inode; `None` if they cannot be told.
    socket: Option<(u64, u64)>,
    asked: mpsc::Receiver<Asked>,
}

impl Server {
    /// Listens from now on. Only inside a runtime.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(runtime_dir: &Path) -> io::Result<Self> {
        // Under another name until nobody else may open it. A socket that is left of an earlier process goes with that.
        let (path, draft) = (
            runtime_dir.join(SOCKET),
            runtime_dir.join(format!("{SOCKET}.new")),
        );
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
        fs::rename(&draft, &path)?;
        let (sender, asked) = mpsc::channel(ADMIN_CONNECTIONS_MAX);
        tokio::spawn(accept(listener, sender));
        let socket = inode(&path);
        Ok(Self {
            path,
            socket,
            asked,
        })
    }

    /// The next request. Cancel-safe.
    pub async fn asked(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Another process may have put its own there, where directories cannot be locked.
        if self.socket.is_some() && inode(&self.path) == self.socket {
            // Missing is as good as removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

async fn accept(listener: UnixListener, sender: mpsc::Sender<Asked>) {
    let room = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("admin socket: {error}");
                tokio::time::sleep(ADMIN_PATIENCE).await;
                continue;
            }
        };
        let sender = sender.clone();
        tokio::spawn(async move {
            // Whoever asked sees the connection end; there is nobody else to tell.
            let _ = serve(stream, &sender).await;
            drop(permit);
        });
    }
}

async fn serve(mut stream: UnixStream, sender: &mpsc::Sender<Asked>) -> io::Result<()> {
    let mut line = String::new();
    let user = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader.take(ADMIN_REQUEST_BYTES_MAX as u64));
    timeout(ADMIN_PATIENCE, reader.read_line(&mut line)).await??;
    let answers = match serde_json::from_str(&line) {
        Ok(request) => hand_over(request, user, sender).await,
        Err(error) => vec![Answer::Refused(format!(
            "that is no request of this version: {error}"
        ))],
    };
    let text = tokio::task::spawn_blocking(move || lines(&answers)).await??;
    for part in text.chunks(ADMIN_WRITE_BYTES) {
        timeout(ADMIN_PATIENCE, writer.write_all(part)).await??;
    }
    Ok(())
}

/// On the blocking pool: there may be tens of thousands.
fn lines(answers: &[Answer]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for answer in answers {
        serde_json::to_writer(&mut text, answer)?;
        text.push(b'\n');
    }
    Ok(text)
}

async fn hand_over(request: Request, user: u32, sender: &mpsc::Sender<Asked>) -> Vec<Answer> {
    let (answers, answered) = oneshot::channel();
    let stopping = || vec![Answer::Refused("weir is stopping".to_owned())];
    let asked = Asked {
        request,
        user,
        answers,
    };
    if sender.send(asked).await.is_err() {
        return stopping();
    }
    answered.await.unwrap_or_else(|_| stopping())
}

#[cfg(test)]
mod tests;
