//! Certificates for other programs: PEM files in a directory, and a command that is run when they have changed.
//!
//! Owns: which files there are to be ([`Wanted`]), the files, the runs of the command, and on disk what came of them.
//! Never: a certificate of its own. Invariants: the command is run until it has ended well for what the files say, also
//! by a process that comes after one that was killed; of one resolver, and for one directory of rules, never two at a
//! time; nobody waits for it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use super::durable;
use super::plan::covers;
use super::store::{Held, Store, hash};
use crate::config::{Deploy, FileDeploy, stem};
use crate::limits::{CERTIFICATES_NEVER, DEPLOY_RETRY};
use crate::tls::Pem;

mod files;
mod program;

/// Below [`super::keeper::DIRECTORY`]: what came of each.
pub(super) const DIRECTORY: &str = "deployments";

/// The files that there are to be, by what their names begin with.
pub(super) type Wanted = BTreeMap<String, Arc<Pem>>;

/// What came of it, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    /// Whose certificates; `None` for those of `tls.certificates`.
    pub resolver: Option<String>,
    /// Where they are.
    pub directory: PathBuf,
    /// When it was last tried, in seconds since 1970; `None`: there has been nothing to deploy.
    pub at: Option<i64>,
    /// What went wrong then.
    pub trouble: Option<Trouble>,
}

/// Why something is not deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// In the words of the file system or the command.
    pub error: String,
    /// How often in a row.
    pub failures: u32,
    /// When it is tried again.
    pub not_before: i64,
}

/// As it is on disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    /// What was deployed, the command run, when all of it last went well.
    done: Option<String>,
    /// What was last tried.
    tried: Option<String>,
    outcome: Deployed,
}

/// What came of the deployments of one resolver, or of files to one directory.
pub(super) struct Deployment {
    path: PathBuf,
    progress: Progress,
}

impl Deployment {
    /// As it stands on disk, below `directory`. What cannot be read counts as nothing: it is deployed again then.
    pub(super) fn open(resolver: Option<&str>, target: &Path, directory: &Path) -> Self {
        let name = match resolver {
            Some(resolver) => hash(&[resolver]),
            None => hash(&["tls.certificates", &target.to_string_lossy()]),
        };
        let path = directory.join(DIRECTORY).join(format!("{name}.json"));
        let kept = durable::read(&path).unwrap_or_else(|line| {
            error!("{line}");
            None
        });
        let read = kept.and_then(|kept| serde_json::from_slice::<Progress>(&kept.body).ok());
        let mut progress = read.unwrap_or_default();
        progress.outcome.resolver = resolver.map(ToOwned::to_owned);
        target.clone_into(&mut progress.outcome.directory);
        Self { path, progress }
    }

    /// How it stands.
    pub(super) fn told(&self) -> Deployed {
        self.progress.outcome.clone()
    }

    /// What failed is tried at once.
    pub(super) fn forgive(&mut self) {
        if let Some(trouble) = &mut self.progress.outcome.trouble {
            trouble.not_before = i64::MIN;
        }
    }

    /// Writes what is missing or different and runs the command, unless there is a time to wait; when to come again.
    pub(super) async fn step(&mut self, deploy: &Deploy, wanted: Wanted, now: i64) -> i64 {
        if wanted.is_empty() {
            // What went wrong before is no longer to be done.
            self.progress.outcome.trouble = None;
            return now + CERTIFICATES_NEVER;
        }
        let identity = identity(deploy, &wanted);
        let trouble = self.progress.outcome.trouble.as_ref();
        let wait = trouble.map_or(i64::MIN, |trouble| trouble.not_before);
        // Something new is worth a try.
        if wait > now && self.progress.tried.as_ref() == Some(&identity) {
            return wait;
        }
        let written = write(deploy, &wanted);
        // All keys need not be in memory a second time while a command runs.
        drop(wanted);
        let written = match written {
            Ok(0) if self.progress.done.as_ref() == Some(&identity) => {
                return now + CERTIFICATES_NEVER;
            }
            Ok(count) => Ok(count),
            Err(error) => Err(format!("{}: {error}", deploy.directory.display())),
        };
        let outcome = match (written, &deploy.command) {
            (Err(error), _) => Err(error),
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(command)) => {
                let resolver = self.progress.outcome.resolver.as_deref();
                program::run(command, &deploy.directory, resolver).await
            }
        };
        self.ended(identity, outcome, now)
    }

    fn ended(&mut self, identity: String, outcome: Result<(), String>, now: i64) -> i64 {
        let told = &mut self.progress.outcome;
        let (resolver, directory) = (told.resolver.as_deref(), told.directory.display());
        told.at = Some(now);
        match outcome {
            Ok(()) => {
                info!(resolver, %directory, "certificates are deployed");
                told.trouble = None;
                self.progress.done = Some(identity.clone());
            }
            Err(error) => {
                error!(resolver, %directory, "certificates are not deployed: {error}");
                let failures = told.trouble.as_ref().map_or(0, |trouble| trouble.failures);
                let (first, most) = DEPLOY_RETRY;
                let wait = first
                    .saturating_mul(4i64.saturating_pow(failures))
                    .min(most);
                told.trouble = Some(Trouble {
                    error,
                    failures: failures.saturating_add(1),
                    not_before: now.saturating_add(wait),
                });
            }
        }
        self.progress.tried = Some(identity);
        let written = serde_json::to_vec(&self.progress).map_err(io::Error::from);
        if let Err(error) = written.and_then(|body| durable::write(&self.path, &body)) {
            error!("{} cannot be written: {error}", self.path.display());
        }
        let trouble = self.progress.outcome.trouble.as_ref();
        trouble.map_or(now + CERTIFICATES_NEVER, |trouble| trouble.not_before)
    }
}

/// Those of a resolver's certificates: for each name that is asked for, or else each name of a certificate. So a name's
/// files are where they were, whatever it is packed with.
pub(super) fn of_resolver(store: &Store, resolver: &Arc<str>, deploy: &Deploy, now: i64) -> Wanted {
    let stems = |held: &Held| -> Vec<String> {
        let own = held.pair.names();
        let names: Vec<&str> = match deploy.names.is_empty() {
            true => own.iter().map(|name| &**name).collect(),
            false => {
                let asked = deploy.names.iter().map(|name| &**name);
                asked
                    .filter(|name| own.iter().any(|own| covers(own, name)))
                    .collect()
            }
        };
        names.into_iter().filter_map(stem).collect()
    };
    let of_it = |held: &&Held| *held.record.resolver == **resolver;
    let held = store.all().map(|(_, held)| held).filter(of_it);
    let all = held.map(|held| {
        let pem = Pem {
            chain: held.record.certificate.clone(),
            key: held.record.key.clone(),
        };
        (held.pair.not_after(), stems(held), Arc::new(pem))
    });
    longest(all.collect(), now)
}

/// Those of certificates of `tls.certificates`.
pub(super) fn of_files(files: &FileDeploy, now: i64) -> Wanted {
    let all = files.certificates.iter();
    let all = all.map(|one| (one.not_after, one.stems.clone(), Arc::clone(&one.pem)));
    longest(all.collect(), now)
}

/// Of several certificates that are valid, those of the one that is so longest.
fn longest(mut all: Vec<(i64, Vec<String>, Arc<Pem>)>, now: i64) -> Wanted {
    all.retain(|(not_after, ..)| *not_after > now);
    all.sort_by_key(|(not_after, ..)| *not_after);
    let each = |(_, stems, pem): (i64, Vec<String>, Arc<Pem>)| {
        stems.into_iter().map(move |stem| (stem, Arc::clone(&pem)))
    };
    all.into_iter().flat_map(each).collect()
}

/// Puts the files where they are missing or different; how many were.
fn write(deploy: &Deploy, wanted: &Wanted) -> io::Result<usize> {
    files::make_directory(deploy)?;
    let mut count = 0;
    for (stem, pem) in wanted {
        for (ending, content) in files::of(pem) {
            let name = format!("{stem}.{ending}");
            count += usize::from(files::put(deploy, &name, &content)?);
        }
    }
    if count > 0 {
        files::sync(&deploy.directory)?;
    }
    Ok(count)
}

/// What tells one deployment from the next: everything that the command may depend on.
fn identity(deploy: &Deploy, wanted: &Wanted) -> String {
    let mut digest = Context::new(&SHA256);
    let mut add = |text: &str| {
        digest.update(&text.len().to_be_bytes());
        digest.update(text.as_bytes());
    };
    add(&format!("{deploy:?}"));
    for (stem, pem) in wanted {
        for text in [stem, &pem.chain, &pem.key] {
            add(text);
        }
    }
    HEXLOWER.encode(digest.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::store::tests::record;
    use super::*;
    use crate::config::Deployable;
    use crate::tls::KeyPair;

    /// Within the life of the certificates below.
    const NOW: i64 = 1_700_000_000;

    struct Scene {
        scratch: tempfile::TempDir,
        store: Store,
        deploy: Deploy,
    }

    impl Scene {
        fn new(command: &str) -> Self {
            let scratch = tempfile::tempdir().unwrap();
            durable::make_directory(&scratch.path().join(DIRECTORY)).unwrap();
            let (store, _) = Store::open(scratch.path()).unwrap();
            let deploy = Deploy {
                directory: scratch.path().join("pem"),
                names: Vec::new(),
                owner: Default::default(),
                mode: 0o600,
                command: (!command.is_empty()).then(|| command.to_owned()),
            };
            Self {
                scratch,
                store,
                deploy,
            }
        }

        fn open(&self) -> Deployment {
            Deployment::open(Some("le"), &self.deploy.directory, self.scratch.path())
        }

        fn wanted(&self) -> Wanted {
            of_resolver(&self.store, &"le".into(), &self.deploy, NOW)
        }

        async fn step(&self, deployment: &mut Deployment, now: i64) -> i64 {
            let local = tokio::task::LocalSet::new();
            let step = deployment.step(&self.deploy, self.wanted(), now);
            local.run_until(step).await
        }

        fn there(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.deploy.directory).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }

        fn runs(&self) -> usize {
            let text = fs::read_to_string(self.scratch.path().join("runs"));
            text.unwrap_or_default().lines().count()
        }
    }

    #[tokio::test]
    async fn the_files_of_a_name_are_those_of_the_certificate_that_lives_longest() {
        let mut scene = Scene::new("");
        for record in [
            record("le", &["a.example", "b.example"], (2020, 2026)),
            record("le", &["a.example"], (2020, 2030)),
            record("le", &["*.w.example"], (2020, 2030)),
            record("le", &["gone.example"], (2020, 2021)),
            record("other", &["o.example"], (2020, 2030)),
        ] {
            scene.store.put(record).unwrap();
        }
        let stems: Vec<String> = scene.wanted().into_keys().collect();
        assert_eq!(stems, ["_.w.example", "a.example", "b.example"]);
        let newest = scene.wanted().remove("a.example").unwrap().chain.clone();
        let (_, held) = scene
            .store
            .all()
            .find(|(_, held)| held.record.certificate == newest)
            .unwrap();
        assert_eq!(held.record.names, ["a.example"]);
        // Names that are asked for, also below a wildcard.
        scene.deploy.names = vec!["x.w.example".into(), "o.example".into()];
        assert_eq!(
            scene.wanted().into_keys().collect::<Vec<_>>(),
            ["x.w.example"]
        );
        let mut deployment = scene.open();
        scene.step(&mut deployment, NOW).await;
        assert_eq!(
            scene.there(),
            ["x.w.example.crt", "x.w.example.key", "x.w.example.pem"]
        );
        let pem = fs::read_to_string(scene.deploy.directory.join("x.w.example.pem")).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE") && pem.contains("PRIVATE KEY"));
    }

    #[tokio::test]
    async fn certificates_of_files_are_deployed_by_themselves_unless_they_have_expired() {
        let scene = Scene::new("echo $DEPLOY_DIRECTORY ${DEPLOY_RESOLVER-nobody} >> ../runs");
        let one = |names: &[&str], until: i32| {
            let record = record("", names, (2020, until));
            let (cert, key) = (&record.certificate, &record.key);
            let (pair, pem) = KeyPair::load_with_pem(cert, key).unwrap();
            Deployable {
                stems: names.iter().map(|name| (*name).to_owned()).collect(),
                not_after: pair.not_after(),
                pem: Arc::new(pem),
            }
        };
        let mut files = FileDeploy {
            deploy: scene.deploy.clone(),
            certificates: vec![one(&["gone.example"], 2021)],
        };
        let open = || Deployment::open(None, &scene.deploy.directory, scene.scratch.path());
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let mut deployment = open();
                deployment
                    .step(&files.deploy, of_files(&files, NOW), NOW)
                    .await;
                assert_eq!((scene.runs(), deployment.told().at), (0, None));
                files.certificates.push(one(&["a.example"], 2031));
                files
                    .certificates
                    .push(one(&["a.example", "b.example"], 2030));
                let wanted = of_files(&files, NOW);
                assert_eq!(wanted["a.example"], files.certificates[1].pem);
                assert_eq!(wanted["b.example"], files.certificates[2].pem);
                assert_eq!(wanted.len(), 2);
                for _ in 0..2 {
                    let mut deployment = open();
                    deployment.step(&files.deploy, wanted.clone(), NOW).await;
                    assert_eq!(deployment.told().trouble, None);
                    assert_eq!(scene.runs(), 1, "a start deploys nothing again");
                }
                // Another command is something new.
                files.deploy.command = Some("echo other >> ../runs".to_owned());
                open().step(&files.deploy, wanted.clone(), NOW).await;
                assert_eq!(scene.runs(), 2);
            })
            .await;
        let said = fs::read_to_string(scene.scratch.path().join("runs")).unwrap();
        let expected = format!("{} nobody\nother\n", scene.deploy.directory.display());
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn the_command_is_run_once_for_what_has_changed_and_by_the_next_process_if_this_one_dies()
    {
        let mut scene = Scene::new("echo run >> ../runs");
        let mut deployment = scene.open();
        scene.step(&mut deployment, NOW).await;
        assert_eq!(scene.runs(), 0, "nothing is there to deploy");
        scene
            .store
            .put(record("le", &["a.example"], (2020, 2030)))
            .unwrap();
        scene.step(&mut deployment, NOW).await;
        scene.step(&mut deployment, NOW).await;
        assert_eq!(scene.runs(), 1);
        let mut deployment = scene.open();
        scene.step(&mut deployment, NOW).await;
        assert_eq!(scene.runs(), 1, "a start with everything in place");
        fs::write(scene.deploy.directory.join("a.example.key"), "x").unwrap();
        scene.step(&mut deployment, NOW).await;
        assert_eq!(scene.runs(), 2, "somebody has changed a file");
        scene
            .store
            .put(record("le", &["a.example"], (2020, 2031)))
            .unwrap();
        // The files are there, and the process was killed before the command.
        write(&scene.deploy, &scene.wanted()).unwrap();
        let mut deployment = scene.open();
        scene.step(&mut deployment, NOW).await;
        assert_eq!((scene.runs(), deployment.told().trouble), (3, None));
    }

    #[tokio::test]
    async fn a_command_that_fails_is_tried_again_later_each_time_and_at_once_for_something_new() {
        let mut scene =
            Scene::new("echo run >> ../runs; echo no route to host >&2; test -e ../well");
        scene
            .store
            .put(record("le", &["a.example"], (2020, 2030)))
            .unwrap();
        let mut deployment = scene.open();
        let (mut now, mut waits) = (NOW, Vec::new());
        for _ in 0..8 {
            let at = scene.step(&mut deployment, now).await;
            assert_eq!(scene.step(&mut deployment, at - 1).await, at, "not before");
            waits.push(at - now);
            now = at;
        }
        assert_eq!((waits[0], waits[7]), DEPLOY_RETRY);
        assert!(waits.is_sorted());
        assert_eq!(scene.runs(), 8);
        let trouble = scene.open().told().trouble.expect("it is on disk");
        assert_eq!(
            (trouble.failures, &*trouble.error),
            (8, "exit status: 1: no route to host")
        );
        let wait = scene.step(&mut deployment, now).await;
        assert!(wait > now);
        scene
            .store
            .put(record("le", &["b.example"], (2020, 2030)))
            .unwrap();
        scene.step(&mut deployment, now).await;
        assert_eq!(scene.runs(), 10, "something new");
        fs::write(scene.scratch.path().join("well"), "").unwrap();
        deployment.forgive();
        scene.step(&mut deployment, now).await;
        assert_eq!((scene.runs(), deployment.told().trouble), (11, None));
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_written_to_is_told() {
        let mut scene = Scene::new("");
        scene
            .store
            .put(record("le", &["a.example"], (2020, 2030)))
            .unwrap();
        fs::write(scene.scratch.path().join("pem"), "a file").unwrap();
        let mut deployment = scene.open();
        scene.step(&mut deployment, NOW).await;
        let trouble = deployment.told().trouble.expect("told");
        assert!(trouble.error.contains("/pem: "), "{}", trouble.error);
    }
}
