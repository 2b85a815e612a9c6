//! `tls.certificates[].deploy`: which certificates of files go to which directories.
//!
//! Several may go to one directory, as HAProxy reads them, if all say the same of it: its command is run once for all
//! of them. Invariant: no resolver deploys there, and the files that these are made of are not there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Context;
use super::store::{pair, take};
use crate::config::document::CertificateDraft;
use crate::config::walker::Spanned;
use crate::config::{Deploy, Deployable, FileDeploy, FileNames, Origin, Problem, SUFFIXES, stem};
use crate::tls::{KeyPair, Pem, is_pem_text};

/// Where problems are.
const PATH: &str = "tls.certificates";
/// Names in one problem.
const NAMES_TOLD: usize = 10;

/// By directory, whatever way it is named, with the first that names it.
#[derive(Default)]
pub struct Deploys(BTreeMap<PathBuf, (Origin, FileDeploy)>);

impl Deploys {
    /// The certificate, which is deployed if it says so.
    pub(super) fn pair(
        &mut self,
        context: &mut Context<'_>,
        draft: &CertificateDraft,
    ) -> Option<KeyPair> {
        let accepted = draft.deploy.as_ref().and_then(|deploy| {
            let refused = refused(context, draft, deploy).or_else(|| self.differs(deploy));
            match refused {
                None => Some(deploy),
                Some(problem) => {
                    let problem = problem.at(format!("{PATH}.deploy")).lost("the deployment");
                    context.problems.push(problem);
                    None
                }
            }
        });
        let Some(deploy) = accepted else {
            return pair(context, PATH, draft);
        };
        let sharing = self.sharing(deploy);
        let loaded = context
            .pems
            .pair_with_pem(&draft.cert_file.value, &draft.key_file);
        let (pair, pem) = take(context, PATH, draft, loaded)?;
        // Of one that was last good before it was deployed nothing is known to deploy.
        if let Some(pem) = pem {
            let certificate = deployable(context, deploy, &pair, pem);
            sharing.certificates.push(certificate);
        }
        Some(pair)
    }

    /// A problem if another certificate says something else of the directory.
    fn differs(&self, deploy: &Spanned<Deploy>) -> Option<Problem> {
        let (origin, first) = self.0.get(&place(&deploy.value.directory))?;
        let directory = deploy.value.directory.display();
        let found = format!(
            "the directory {directory} with another owner, mode or command than at {origin}"
        );
        (nameless(&deploy.value) != first.deploy).then(|| {
            Problem::error(deploy.origin.clone(), found)
                .remedy("say the same at both, or give each its own directory")
        })
    }

    /// What goes to the same directory; it is there also where no certificate can be used.
    fn sharing(&mut self, deploy: &Spanned<Deploy>) -> &mut FileDeploy {
        let (_, sharing) = match self.0.entry(place(&deploy.value.directory)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                let made = FileDeploy {
                    deploy: nameless(&deploy.value),
                    certificates: Vec::new(),
                };
                place.insert((deploy.origin.clone(), made))
            }
        };
        sharing
    }
}

/// Leaves out what would be written over files that are read: of other certificates and of authorities, too.
pub(super) fn spare_sources(context: &mut Context<'_>) {
    if context.deploys.0.is_empty() {
        return;
    }
    let sources: BTreeSet<PathBuf> = context
        .pems
        .named()
        .iter()
        .flat_map(|file| places(file))
        .collect();
    let Deploys(deploys) = &mut context.deploys;
    for (directory, (origin, deploy)) in deploys {
        let written = |stem: &str| {
            let files = SUFFIXES.map(|suffix| directory.join(format!("{stem}.{suffix}")));
            files.into_iter().find(|file| sources.contains(file))
        };
        for certificate in &mut deploy.certificates {
            let stems = certificate
                .stems
                .extract_if(.., |stem| written(stem).is_some());
            for file in stems.filter_map(|stem| written(&stem)) {
                let found = format!(
                    "a deploy that would write {}, which weir reads",
                    file.display()
                );
                let problem = Problem::error(origin.clone(), found).at(format!("{PATH}.deploy"));
                let problem =
                    problem.remedy("give another directory: weir never writes over what it reads");
                context.problems.push(problem.lost("that name's files"));
            }
        }
    }
}

/// Where a file is: by its own name, and by that of what it is a link to.
fn places(file: &Path) -> [PathBuf; 2] {
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let own = place(parent).join(file.file_name().unwrap_or_default());
    let target = fs::canonicalize(file).unwrap_or_else(|_| own.clone());
    [own, target]
}

/// The directory without links and `..`, as far as it is there.
fn place(directory: &Path) -> PathBuf {
    let there = directory.ancestors().find_map(|ancestor| {
        let real = fs::canonicalize(ancestor).ok()?;
        Some((real, directory.strip_prefix(ancestor).ok()?))
    });
    there.map_or_else(
        || directory.to_owned(),
        |(real, missing)| real.join(missing),
    )
}

impl From<Deploys> for Vec<FileDeploy> {
    fn from(deploys: Deploys) -> Self {
        deploys.0.into_values().map(|(_, deploy)| deploy).collect()
    }
}

fn nameless(deploy: &Deploy) -> Deploy {
    Deploy {
        names: Vec::new(),
        ..deploy.clone()
    }
}

/// Why nothing may be deployed so.
fn refused(
    context: &Context<'_>,
    draft: &CertificateDraft,
    deploy: &Spanned<Deploy>,
) -> Option<Problem> {
    let directory = &deploy.value.directory;
    let problem = |found: String| Problem::error(deploy.origin.clone(), found);
    if !context.config.rules.allow_deploy {
        return Some(problem("a deploy in a rule file".to_owned()).remedy(
            "allow it by providers.file.allowDeploy: true in the static configuration, if whoever may write rule files \
             may also start programs as weir's user and give private keys away",
        ));
    }
    let resolvers = &mut context.config.resolvers.iter();
    let other = resolvers.find(|resolver| {
        let other = resolver.deploy.as_ref();
        other.is_some_and(|other| place(&other.directory) == place(directory))
    });
    if let Some(other) = other {
        let (name, directory) = (&other.name, directory.display());
        let found = format!("the directory {directory}, to which the resolver {name:?} deploys");
        return Some(problem(found).remedy("give each its own directory"));
    }
    let mut files = [&*draft.cert_file.value, &*draft.key_file]
        .into_iter()
        .filter(|file| !is_pem_text(file));
    let file = files.find(|file| is_in(Path::new(file), directory))?;
    let found = format!("the directory {}, in which {file} is", directory.display());
    Some(problem(found).remedy("give another directory: weir never writes over what it reads"))
}

/// Whether the file, or what it is a link to, is in the directory, by whatever way that is named.
fn is_in(file: &Path, directory: &Path) -> bool {
    let directory = place(directory);
    places(file)
        .iter()
        .any(|place| place.parent() == Some(&directory))
}

fn deployable(
    context: &mut Context<'_>,
    deploy: &Spanned<Deploy>,
    pair: &KeyPair,
    pem: Arc<Pem>,
) -> Deployable {
    let own = pair.names();
    let asked = &deploy.value.names;
    let told: Vec<&str> = own.iter().take(NAMES_TOLD).map(|name| &**name).collect();
    let mut problem = |found: String, remedy: &str| {
        let problem = Problem::error(deploy.origin.clone(), found).at(format!("{PATH}.deploy"));
        let problem = problem.remedy(format!("{remedy}; it is for {}", told.join(", ")));
        context.problems.push(problem.lost("its files"));
    };
    // An expired one, too, is for its names.
    let covered = FileNames::new(std::slice::from_ref(pair), i64::MIN);
    for name in asked.iter().filter(|name| !covered.serve(name)) {
        let found = format!("the name {name:?}, for which the certificate is not");
        problem(found, "give names that it has, or none for all of them");
    }
    let names = if asked.is_empty() { own } else { asked };
    let served = names.iter().filter(|name| covered.serve(name));
    let stems: Vec<String> = served.filter_map(|name| stem(name)).collect();
    if stems.is_empty() && asked.is_empty() {
        let found = "a certificate without a name that files can have".to_owned();
        problem(found, "use one with names of hosts");
    }
    Deployable {
        stems,
        not_after: pair.not_after(),
        pem,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_where_it_is_by_any_way() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir_all(path("real/below")).unwrap();
        fs::create_dir(path("links")).unwrap();
        fs::write(path("real/a.crt"), "").unwrap();
        symlink(path("real"), path("other")).unwrap();
        symlink(path("real/a.crt"), path("links/b.crt")).unwrap();
        for file in [
            "real/a.crt",
            "other/a.crt",
            "links/b.crt",
            "real/none",
            "real/below/../a.crt",
        ] {
            for directory in ["real", "other"] {
                assert!(is_in(&path(file), &path(directory)), "{file} {directory}");
            }
        }
        assert!(is_in(&path("links/b.crt"), &path("links")));
        assert!(
            is_in(&path("none/a"), &path("none")),
            "neither is there yet"
        );
        for (file, directory) in [
            ("real/a.crt", "real/below"),
            ("real/a.crt", "none"),
            ("none", "real"),
        ] {
            assert!(!is_in(&path(file), &path(directory)), "{file} {directory}");
        }
        let here = std::env::current_dir().unwrap();
        assert!(
            is_in(Path::new("Cargo.toml"), &here)
                && !is_in(Path::new("Cargo.toml"), Path::new("/"))
        );
    }
}
