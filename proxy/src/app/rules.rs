//! The rules in force: loads them, publishes them by one pointer swap, says in the log what was left out.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::config::{Loader, Severity, Snapshot, StaticConfig};

/// What the workers read.
pub type Published = Arc<ArcSwap<Snapshot>>;

/// The rules in force and what loads the next ones.
pub struct Rules {
    published: Published,
    /// Here, or with the load that is under way.
    loader: Option<Loader>,
    under_way: Option<JoinHandle<(Loader, Snapshot)>>,
    asked_again: bool,
}

impl Rules {
    /// Loads the rules for the first time.
    ///
    /// # Errors
    /// If the cryptography fails; the rules themselves never do.
    pub fn load(config: &Arc<StaticConfig>) -> Result<Self, String> {
        let mut loader = Loader::new(Arc::clone(config)).map_err(|error| error.to_string())?;
        let snapshot = loader.load();
        report(None, &snapshot);
        Ok(Self {
            published: Arc::new(ArcSwap::from_pointee(snapshot)),
            loader: Some(loader),
            under_way: None,
            asked_again: false,
        })
    }

    /// What the workers read.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Starts a load on the blocking pool; one that is under way is followed by another.
    pub fn reload(&mut self) {
        match self.loader.take() {
            Some(mut loader) => {
                self.under_way = Some(tokio::task::spawn_blocking(move || {
                    let snapshot = loader.load();
                    (loader, snapshot)
                }));
            }
            None => self.asked_again = true,
        }
    }

    /// Resolves when a load has ended and its rules are published; never, while none is under way. Cancel-safe.
    pub async fn reloaded(&mut self) -> Arc<Snapshot> {
        let Some(load) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let (loader, snapshot) = match load.await {
            Ok(loaded) => loaded,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        self.under_way = None;
        self.loader = Some(loader);
        if std::mem::take(&mut self.asked_again) {
            self.reload();
        }
        self.publish(Arc::new(snapshot))
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let before = self.published.swap(Arc::clone(&snapshot));
        report(Some(&before), &snapshot);
        // The last reference may be this one: what it frees is freed away from the control thread.
        tokio::task::spawn_blocking(move || drop(before));
        snapshot
    }
}

/// Logs each problem once, when it is new.
fn report(before: Option<&Snapshot>, now: &Snapshot) {
    let known: HashSet<String> = before
        .into_iter()
        .flat_map(|snapshot| &snapshot.problems)
        .map(ToString::to_string)
        .collect();
    for problem in &now.problems {
        let line = problem.to_string();
        match problem.severity {
            _ if known.contains(&line) => {}
            Severity::Error => error!("{line}"),
            Severity::Warning => warn!("{line}"),
        }
    }
    let routers: usize = now
        .entry_points
        .iter()
        .map(|table| table.http.serving() + table.https.serving())
        .sum();
    info!(
        generation = now.generation,
        routers,
        left_out = now.errors(),
        "rules in force"
    );
}
