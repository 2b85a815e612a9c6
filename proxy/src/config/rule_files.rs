//! The rule files: finding and reading them, and compiling them all into one [`Snapshot`].

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::{self, Compiled, Context, Deploys, TermsKept, Transports};
use super::document::{self, Document};
use super::last_good::LastGood;
use super::pem_files::PemFiles;
use super::resolve::Resolver;
use super::{
    FileWatcher, Inventory, Needs, Origin, Problem, Severity, Snapshot, StaticConfig, source,
};

mod check;

pub use self::check::{Check, Checked};
use crate::clock;
use crate::limits::{RULE_DIRECTORY_DEPTH_MAX, RULE_FILES_MAX};
use crate::service::standing::{ServerName, Standings};
use crate::service::{Falls, Protocol, Readiness, Registry, Service};
use crate::tls::{self, KeyPair};

/// Builds one snapshot after another, and keeps what must be the same in all of them: the ids of services and
/// servers, and the self-signed default certificate. Blocks (files, name resolution): belongs on the control plane's
/// lane, one load at a time.
#[derive(Debug)]
pub struct Loader {
    config: Arc<StaticConfig>,
    /// Files and directories of rules.
    paths: Vec<PathBuf>,
    registry: Registry,
    resolver: Resolver,
    transports: Transports,
    standings: Arc<Standings>,
    /// Something that administrators had said was taken back by a change of the files.
    outdated: Vec<ServerName>,
    last_good: LastGood,
    /// Why nothing outlives the process.
    not_kept: Option<Problem>,
    /// What the files said when they were read last, and what was wrong with them.
    read: (Vec<Document>, Vec<Problem>),
    /// What good files say, so that only those that change are decoded anew.
    decoded: HashMap<Arc<Path>, Decoded>,
    default_certificate: KeyPair,
    /// Certificates that were obtained, and what authorities are shown.
    shared: Arc<tls::Shared>,
    /// As they were when they were last good.
    pems: PemFiles,
    /// Watches them.
    pem_watcher: Option<FileWatcher>,
    /// Follows the way to the rule files, and those that are links.
    link_watcher: Option<FileWatcher>,
    /// What is agreed on with clients, as of the last load.
    terms: TermsKept,
    generation: u64,
}

/// A good rule file. Decoding depends on its text alone: templates see the environment, which stays.
#[derive(Clone, Debug)]
struct Decoded {
    text: Arc<str>,
    /// Without its tree.
    document: Document,
    /// Warnings.
    problems: Vec<Problem>,
}

impl Loader {
    /// For the rules of `config`.
    ///
    /// # Errors
    /// If the cryptography fails, which is no fault of the configuration.
    pub fn new(config: Arc<StaticConfig>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let default_certificate = tls::default_certificate()?;
        Ok(Self {
            paths: config.rules.path.iter().cloned().collect(),
            config,
            registry: Registry::default(),
            resolver: Resolver::default(),
            transports: Transports::default(),
            standings: Arc::default(),
            outdated: Vec::new(),
            last_good: LastGood::default(),
            not_kept: None,
            read: Default::default(),
            decoded: HashMap::new(),
            default_certificate,
            shared: Arc::default(),
            pems: PemFiles::default(),
            pem_watcher: None,
            link_watcher: None,
            terms: TermsKept::default(),
            generation: 0,
        })
    }

    /// Keeps the last good versions of rule files in the state directory, and begins with those that are there.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn keeping(config: Arc<StaticConfig>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (last_good, not_kept) = LastGood::open(&config.state_dir);
        Ok(Self {
            last_good,
            not_kept,
            ..Self::new(config)?
        })
    }

    /// Offers what was obtained beside the certificates of files.
    pub fn sharing(self, shared: Arc<tls::Shared>) -> Self {
        Self { shared, ..self }
    }

    /// Watches the PEM files that rules name, and the links on the way to rule files.
    pub fn watching(self, pems: Option<FileWatcher>, links: Option<FileWatcher>) -> Self {
        Self {
            pem_watcher: pems,
            link_watcher: links,
            ..self
        }
    }

    /// What the next load would make of the files as they are now. Changes nothing, on disk or in this loader.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn preview(&self) -> Result<Snapshot, Box<dyn Error + Send + Sync>> {
        let fresh = Self::new(Arc::clone(&self.config))?;
        let mut preview = Self {
            last_good: self.last_good.detached(),
            pems: self.pems.clone(),
            read: self.read.clone(),
            decoded: self.decoded.clone(),
            shared: Arc::clone(&self.shared),
            generation: self.generation,
            ..fresh
        };
        Ok(preview.load())
    }

    /// Reads all rule files now. Never fails: what is bad is left out and named in [`Snapshot::problems`].
    pub fn load(&mut self) -> Snapshot {
        self.read = self.read();
        let documents = self.read.0.iter_mut();
        documents.for_each(|document| document.tree = None);
        self.compile()
    }

    /// What was read last, with what names stand for now. Reads no rule file, but those files of certificates that have
    /// changed.
    pub fn compile(&mut self) -> Snapshot {
        self.generation += 1;
        self.registry.collect();
        let (mut documents, problems) = self.read.clone();
        let mut inventory = Inventory::default();
        for document in &mut documents {
            inventory.add(std::mem::take(&mut document.inventory));
        }
        self.pems.begin();
        let now = i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX);
        let mut context = Context {
            config: &self.config,
            registry: &mut self.registry,
            resolver: &self.resolver,
            transports: &mut self.transports,
            standings: &self.standings,
            pems: &mut self.pems,
            terms: &mut self.terms,
            shared: &self.shared,
            default_certificate: &self.default_certificate,
            now,
            outdated: Vec::new(),
            problems: Vec::new(),
            wanted: Vec::new(),
            deploys: Deploys::default(),
            targets: Vec::new(),
            falls: Falls::default(),
        };
        let Compiled {
            entry_points,
            services,
            files,
            certificates,
            uncertified,
        } = compile::compile(&mut context, documents);
        let targets = context.targets;
        let falls = Arc::new(context.falls);
        let mut outdated = context.outdated;
        let needs = Needs {
            wanted: context.wanted,
            files,
            deploys: context.deploys.into(),
        };
        let mut problems = [problems, context.problems].concat();
        self.pems.end();
        let pem_files = self.pems.paths();
        if let Some(watcher) = &mut self.pem_watcher {
            problems.extend(watcher.follow(&pem_files));
            if self.pems.have_changed() {
                watcher.tell();
            }
        }
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        // What is to be said of a router is so on each of its entry points, and said once.
        problems.dedup();
        outdated.extend(removed(&self.standings, &services, &problems));
        self.forget(outdated);
        Snapshot {
            generation: self.generation,
            entry_points,
            needs: Arc::new(needs),
            certificates: certificates.into(),
            uncertified: uncertified.into(),
            shared: Arc::clone(&self.shared),
            services,
            targets,
            falls,
            standings: Arc::clone(&self.standings),
            inventory: Arc::new(inventory),
            problems,
        }
    }

    /// Which servers take requests now: one table for as long as this loader lives.
    pub fn readiness(&self) -> &Readiness {
        self.registry.readiness()
    }

    /// What administrators have said of servers.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// From the next load on they say this.
    pub fn set_standings(&mut self, standings: Standings) {
        self.standings = Arc::new(standings);
    }

    /// What the files have changed is as they say.
    fn forget(&mut self, mut outdated: Vec<ServerName>) {
        if outdated.is_empty() {
            return;
        }
        let standings = Arc::make_mut(&mut self.standings);
        // Some are named twice.
        outdated.retain(|name| standings.remove(name).is_some());
        self.outdated.extend(outdated);
    }

    /// Servers of which something was said that no longer holds because the files have changed them; each is told once.
    pub fn take_outdated(&mut self) -> Vec<ServerName> {
        std::mem::take(&mut self.outdated)
    }

    /// The names of servers, shared with it.
    pub fn names(&self) -> Resolver {
        self.resolver.clone()
    }

    fn read(&mut self) -> (Vec<Document>, Vec<Problem>) {
        let mut problems: Vec<Problem> = self.not_kept.iter().cloned().collect();
        let found = problems.len();
        let mut files = Vec::new();
        for path in &self.paths {
            match find(path, &mut problems) {
                Ok(more) => files.extend(more),
                // Moved away for a moment, or no longer mounted: nobody means that by "no rules".
                Err(problem) if !self.read.0.is_empty() => {
                    let instead = "the directory, of which what was read last serves,";
                    problems.push(problem.lost(instead));
                    return (self.read.0.clone(), problems);
                }
                Err(problem) => problems.push(problem.lost("the directory")),
            }
        }
        problems.extend(self.follow_links(&files));
        if problems.len() == found {
            self.last_good.retain(files.iter().map(|file| &**file));
        }
        let mut before = std::mem::take(&mut self.decoded);
        let documents = files
            .iter()
            .filter_map(|file| self.read_one(file, before.remove(file), &mut problems))
            .collect();
        (documents, problems)
    }

    /// Before the files are read, so that no change falls between the two.
    fn follow_links(&mut self, files: &[Arc<Path>]) -> Vec<Problem> {
        let Some(watcher) = &mut self.link_watcher else {
            return Vec::new();
        };
        let is_link = |file: &&Arc<Path>| file.is_symlink();
        let links = files.iter().filter(is_link).map(|file| file.to_path_buf());
        let roots = self.paths.iter().filter(|path| !path.is_file());
        watcher.follow(&roots.cloned().chain(links).collect())
    }

    /// What the file says, or what it said when it was last good.
    fn read_one(
        &mut self,
        file: &Arc<Path>,
        before: Option<Decoded>,
        problems: &mut Vec<Problem>,
    ) -> Option<Document> {
        let (document, mut found) = match source::read(file) {
            Ok(text) => match before.filter(|before| *before.text == *text) {
                Some(same) => {
                    problems.extend(same.problems.iter().cloned());
                    let document = same.document.clone();
                    self.decoded.insert(Arc::clone(file), same);
                    return Some(document);
                }
                None => {
                    let (document, found) = document::decode(file, &text);
                    if let Some(document) = &document {
                        problems.extend(self.last_good.keep(file, &text));
                        self.remember(file, document, &found);
                    }
                    (document, found)
                }
            },
            Err(problem) => (None, vec![problem.lost("the file")]),
        };
        let last_good = self.last_good.get(file).filter(|_| document.is_none());
        let instead = last_good.map(|text| document::decode(file, text).0);
        if instead.is_some() {
            for problem in found
                .iter_mut()
                .filter(|problem| &*problem.lost == "the file")
            {
                problem.lost = "this version of the file, whose last good one serves,".into();
            }
        }
        problems.extend(found);
        document.or(instead.flatten())
    }

    fn remember(&mut self, file: &Arc<Path>, document: &Document, problems: &[Problem]) {
        let Some(text) = self.last_good.get(file) else {
            return;
        };
        // What is wrong may be so only for now, as with an owner whom this machine does not know yet.
        if problems.iter().any(|one| one.severity == Severity::Error) {
            return;
        }
        let decoded = Decoded {
            text: Arc::clone(text),
            document: Document {
                tree: None,
                ..document.clone()
            },
            problems: problems.to_vec(),
        };
        self.decoded.insert(Arc::clone(file), decoded);
    }
}

/// Those that something was said of and that their service has no more. None where anything was left out, which may be
/// them; nor those of a service that is missing as a whole: a file that is empty for a moment must not make servers
/// ready that are in maintenance.
fn removed(
    standings: &Standings,
    services: &[(Protocol, Arc<Service>)],
    problems: &[Problem],
) -> Vec<ServerName> {
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    if standings.is_empty() || problems.iter().any(is_error) {
        return Vec::new();
    }
    let is_removed = |(protocol, service, child): &&ServerName| {
        let mut named = services.iter();
        named
            .find(|(one, found)| one == protocol && found.short_name() == &**service)
            .is_some_and(|(_, found)| !found.has_child(child))
    };
    standings.keys().filter(is_removed).cloned().collect()
}

/// The rule files at `path`, a file or a directory with its sub-directories, in the order of their paths.
fn find(path: &Path, problems: &mut Vec<Problem>) -> Result<Vec<Arc<Path>>, Problem> {
    if path.is_file() {
        return Ok(vec![Arc::from(path)]);
    }
    let mut files = Vec::new();
    descend(path, 0, &mut files, problems)?;
    files.sort();
    if files.len() > RULE_FILES_MAX {
        let problem = Problem::error(Origin::file(path), format!("{} rule files", files.len()));
        problems.push(
            problem
                .allowed(format!("at most {RULE_FILES_MAX}"))
                .lost("the last ones, by name,"),
        );
        files.truncate(RULE_FILES_MAX);
    }
    Ok(files.into_iter().map(Arc::from).collect())
}

/// An error is about this directory; those below it are told in `problems`.
fn descend(
    directory: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    problems: &mut Vec<Problem>,
) -> Result<(), Problem> {
    let wrong = |found: &str| Problem::error(Origin::file(directory), found);
    let entries = match fs::read_dir(directory) {
        Ok(entries) if depth <= RULE_DIRECTORY_DEPTH_MAX => entries,
        Ok(_) => {
            let allowed = format!("at most {RULE_DIRECTORY_DEPTH_MAX} levels");
            return Err(wrong("a deeper directory").allowed(allowed));
        }
        Err(error) => {
            let problem = wrong(&format!("a directory that cannot be read: {error}"));
            return Err(problem.remedy("correct providers.file, or create it"));
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // Editors, rsync and mounted volumes keep what is not finished, or is there twice, under a leading dot.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let below = descend(&path, depth + 1, files, problems);
            problems.extend(below.err().map(|problem| problem.lost("the directory")));
        } else if is_rule_file(&path) && !is_special(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// By extension: `.yml`, `.yaml` and `.toml`, in any case.
fn is_rule_file(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|extension| extension.to_ascii_lowercase());
    let extension = extension
        .as_deref()
        .and_then(|extension| extension.to_str());
    matches!(extension, Some("yml" | "yaml" | "toml"))
}

/// Whether reading it might never end, as with a pipe.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

#[cfg(test)]
pub(crate) mod tests;
