//! `chain`: a name for several middlewares. The configuration puts its members in its place.

use super::{Behaviour, Settings};

/// Its settings.
#[derive(Debug)]
pub struct Chain {
    /// Names of middlewares, in order.
    pub(super) members: Vec<String>,
}

impl Behaviour for Chain {
    const KEYS: &'static [&'static str] = &["middlewares"];

    fn read(settings: &mut dyn Settings) -> Option<Self> {
        let members = settings.texts("middlewares");
        if members.is_empty() {
            settings.wrong("middlewares", "a list of at least one middleware");
            return None;
        }
        Some(Self { members })
    }
}
