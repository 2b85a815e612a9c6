//! The deployments that the thread looks after: a task for each, of which so many at a time do something.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{State, now};
use crate::certs::deploy::{self, Deployment, Wanted};
use crate::config::Deploy;
use crate::limits::CERTIFICATES_LOOK;

/// Whose certificates, and the directory that they go to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whose {
    /// `None` for those of `tls.certificates`.
    resolver: Option<Arc<str>>,
    directory: PathBuf,
}

impl State {
    /// Starts those of resolvers, and those of rules as they come; for ever.
    pub(super) async fn deploy_all(self: Rc<Self>) {
        let mut begun = false;
        for resolver in &self.config.resolvers {
            if let Some(deploy) = &resolver.deploy {
                begun |= self.begin(Some(&resolver.name), deploy);
            }
        }
        let mut needs = self.needs.clone();
        loop {
            let needed = Arc::clone(&needs.borrow_and_update());
            for files in &needed.deploys {
                begun |= self.begin(None, &files.deploy);
            }
            drop(needed);
            // How they stood is told before anything is done.
            if std::mem::take(&mut begun) {
                self.overview.store(Arc::new(self.look()));
            }
            if needs.changed().await.is_err() {
                return;
            }
        }
    }

    /// Starts one, unless it is looked after already; whether it was not.
    fn begin(self: &Rc<Self>, resolver: Option<&Arc<str>>, deploy: &Deploy) -> bool {
        let whose = Whose {
            resolver: resolver.cloned(),
            directory: deploy.directory.clone(),
        };
        if self.deployed.borrow().contains_key(&whose) {
            return false;
        }
        let deployment =
            Deployment::open(whose.resolver.as_deref(), &whose.directory, &self.directory);
        self.deployed
            .borrow_mut()
            .insert(whose.clone(), deployment.told());
        tokio::task::spawn_local(Rc::clone(self).deploy(whose, deployment));
        true
    }

    /// Looks after one, for as long as somebody wants it.
    async fn deploy(self: Rc<Self>, whose: Whose, mut deployment: Deployment) {
        let (mut needs, mut stored) = (self.needs.clone(), self.stored.subscribe());
        let mut again = self.again.subscribe();
        let of_files = whose.resolver.is_none();
        // The semaphore is never closed.
        while let Ok(permit) = self.deploying.acquire().await {
            needs.borrow_and_update();
            stored.borrow_and_update();
            let Some((deploy, wanted)) = self.wanted(&whose) else {
                break;
            };
            let until = deployment.step(&deploy, wanted, now()).await;
            drop(permit);
            self.deployed
                .borrow_mut()
                .insert(whose.clone(), deployment.told());
            self.overview.store(Arc::new(self.look()));
            // Never much longer, as the clock may be set.
            let wait = until.saturating_sub(now()).clamp(1, CERTIFICATES_LOOK);
            tokio::select! {
                _ = needs.changed(), if of_files => {}
                _ = stored.changed(), if !of_files => {}
                _ = again.changed() => deployment.forgive(),
                () = tokio::time::sleep(Duration::from_secs(wait.unsigned_abs())) => {}
            }
        }
        // Its files stay, and so does what is known of them, should it come back.
        self.deployed.borrow_mut().remove(&whose);
        self.overview.store(Arc::new(self.look()));
    }

    /// How, and which files there are to be; `None` where nobody says so any more.
    fn wanted(&self, whose: &Whose) -> Option<(Deploy, Wanted)> {
        let now = now();
        if let Some(name) = &whose.resolver {
            let mut resolvers = self.config.resolvers.iter();
            let deploy = resolvers.find(|one| one.name == *name)?.deploy.clone()?;
            let wanted = deploy::of_resolver(&self.store.borrow(), name, &deploy, now);
            return Some((deploy, wanted));
        }
        let needs = self.needs.borrow();
        let mut files = needs.deploys.iter();
        let files = files.find(|files| files.deploy.directory == whose.directory)?;
        Some((files.deploy.clone(), deploy::of_files(files, now)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::certs::Keeper;
    use crate::certs::store::tests::record;
    use crate::config::{Deployable, FileDeploy, Needs, StaticConfig};
    use crate::limits::DEPLOYS_AT_ONCE;
    use crate::tls::KeyPair;

    fn keeper(state: &Path) -> Keeper {
        let text = format!(
            "entryPoints: {{web: {{address: ':80'}}}}\nstateDir: {}\nproviders: {{file: {{directory: /, allowDeploy: \
             true}}}}\n",
            state.display()
        );
        let (config, _) = StaticConfig::parse(Path::new("weir.yml"), &text).expect("correct");
        let keeper = Keeper::start(&Arc::new(config), &Arc::default());
        keeper.expect("a keeper").expect("rules may deploy")
    }

    /// That many directories, each with the same certificate and command.
    fn needs(scratch: &Path, count: usize, command: &str) -> Arc<Needs> {
        let record = record("", &["a.example"], (2020, 2200));
        let loaded = KeyPair::load_with_pem(&record.certificate, &record.key);
        let (pair, pem) = loaded.expect("a pair");
        let pem = Arc::new(pem);
        let deploy = |index: usize| FileDeploy {
            deploy: Deploy {
                directory: scratch.join(index.to_string()),
                names: Vec::new(),
                owner: Default::default(),
                mode: 0o600,
                command: Some(command.to_owned()),
            },
            certificates: vec![Deployable {
                stems: vec!["a.example".to_owned()],
                not_after: pair.not_after(),
                pem: Arc::clone(&pem),
            }],
        };
        Arc::new(Needs {
            deploys: (0..count).map(deploy).collect(),
            ..Needs::default()
        })
    }

    fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn so_many_are_under_way_at_the_same_time_and_the_next_waits() {
        let scratch = tempfile::tempdir().expect("a directory");
        let keeper = keeper(&scratch.path().join("state"));
        let command = "touch ../run.$$; ls ../run.* | wc -l >> ../counts; until test -e ../go; do sleep 0.02; done; \
                       rm ../run.$$";
        let all = needs(scratch.path(), DEPLOYS_AT_ONCE + 2, command);
        let mut first = Needs::clone(&all);
        first.deploys.pop();
        keeper.need(Arc::new(first));
        let counts = || -> Vec<usize> {
            let text = fs::read_to_string(scratch.path().join("counts")).unwrap_or_default();
            let lines = text.lines();
            lines.filter_map(|line| line.trim().parse().ok()).collect()
        };
        eventually("as many as may be", || counts().len() >= DEPLOYS_AT_ONCE);
        // Whoever comes after them is heard when all of them have had their turn.
        keeper.need(Arc::clone(&all));
        eventually("the last is told of", || {
            keeper.overview().deployments.len() == all.deploys.len()
        });
        let is_begun = |index: &usize| scratch.path().join(index.to_string()).exists();
        let begun = (0..all.deploys.len()).filter(is_begun).count();
        assert_eq!(begun, DEPLOYS_AT_ONCE);
        fs::write(scratch.path().join("go"), "").expect("written");
        eventually("all", || {
            let overview = keeper.overview();
            let done = overview.deployments.iter().filter(|one| one.at.is_some());
            done.count() == all.deploys.len()
        });
        assert_eq!(counts().len(), all.deploys.len());
        assert_eq!(counts().into_iter().max(), Some(DEPLOYS_AT_ONCE));
    }

    #[test]
    fn one_that_nobody_wants_any_more_ends_and_may_come_back() {
        let scratch = tempfile::tempdir().expect("a directory");
        let keeper = keeper(&scratch.path().join("state"));
        let wanted = needs(scratch.path(), 2, "echo run >> ../runs");
        let deployed = || {
            let overview = keeper.overview();
            let done = overview.deployments.iter().filter(|one| one.at.is_some());
            done.count()
        };
        keeper.need(Arc::clone(&wanted));
        eventually("they are told of", || {
            keeper.overview().deployments.len() == 2
        });
        eventually("both are deployed", || deployed() == 2);
        keeper.need(Arc::default());
        eventually("nobody speaks of them", || {
            keeper.overview().deployments.is_empty()
        });
        assert!(scratch.path().join("1/a.example.pem").exists());
        keeper.need(wanted);
        eventually("they are as they were", || deployed() == 2);
        let other = needs(scratch.path(), 1, "echo other >> ../runs");
        keeper.need(other);
        let runs = || fs::read_to_string(scratch.path().join("runs")).unwrap_or_default();
        eventually("the other is deployed", || runs().contains("other"));
        assert_eq!(runs(), "run\nrun\nother\n");
    }
}
