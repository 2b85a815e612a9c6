//! The rule files: reading them, and compiling them all into one [`Snapshot`].

use std::sync::Arc;

use super::{Snapshot, StaticConfig};
use crate::service::Registry;

/// Builds one snapshot after another, and keeps what must be the same in all of them: the ids of services and
/// servers. Blocks (files, name resolution): belongs on the blocking pool, one load at a time.
#[derive(Debug)]
pub struct Loader {
    config: Arc<StaticConfig>,
    registry: Registry,
    generation: u64,
}

impl Loader {
    /// For the rules of `config`.
    pub fn new(config: Arc<StaticConfig>) -> Self {
        Self {
            config,
            registry: Registry::default(),
            generation: 0,
        }
    }

    /// Reads all rule files now. Never fails: what is bad is left out and named in [`Snapshot::problems`].
    pub fn load(&mut self) -> Snapshot {
        self.generation += 1;
        let _ = (&self.config, &self.registry);
        todo!()
    }
}
