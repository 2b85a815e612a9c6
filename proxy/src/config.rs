//! Text to problems, or to an immutable [`Snapshot`].
//!
//! Owns: reading the static file ([`static_file`]) and the rule files ([`rule_files`]) into one tree whose nodes carry
//! their origin, decoding it with one walker that collects every problem, and building the objects of the layers
//! below; they never see YAML. Never: a half-applied change, or state of a worker.
//! Invariants: a bad static file starts nothing; a bad rule file costs that file (a dangling reference: that router; a
//! bad server: that server) and never the rest; a snapshot never changes once published.

pub mod assignment;
mod compile;
mod deploy;
pub mod document;
mod file_certificate;
pub mod inventory;
pub mod last_good;
pub mod lint;
mod needs;
pub mod node;
mod pem_files;
pub mod problem;
mod resolve;
pub mod rule_files;
mod servers_transport;
pub mod snapshot;
pub mod source;
pub mod static_file;
pub mod template;
pub mod toml;
pub mod walker;
pub mod watch;
pub mod yaml;

pub use self::deploy::{Deploy, Owner, SUFFIXES, stem};
pub use self::file_certificate::FileCertificate;
pub use self::inventory::Inventory;
pub use self::lint::Lint;
pub use self::needs::{Deployable, FileDeploy, FileNames, Needs, Wanted};
pub use self::problem::{Cause, Origin, Problem, Severity, Source};
pub use self::resolve::{Refresh, Resolver};
pub use self::rule_files::{Check, Checked, Loader};
pub use self::snapshot::{EntryPointTable, Snapshot, Taker};
pub use self::static_file::{Sources, StaticConfig};
pub use self::watch::{FileWatcher, Watch};

#[cfg(test)]
mod tests;
