//! The rules in force: loads them, publishes them by one pointer swap, says what has changed and what was left out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::lane::{Lane, Pending};
use super::standings::{self, Saying};
use crate::admin::Answer;
use crate::config::{FileWatcher, Loader, Resolver, Severity, Snapshot, StaticConfig, Watch};
use crate::limits::{ADMIN_CHANGES_MAX, FORMER_RULES_LOOK};
use crate::service::Readiness;
use crate::sys;
use crate::tls::Shared;

/// Names in one line of the log.
const NAMES_TOLD: usize = 10;

/// What the workers read.
pub type Published = Arc<ArcSwap<Snapshot>>;

/// Where an answer to somebody who asked for a load goes.
pub type Reply = oneshot::Sender<Vec<Answer>>;

/// What each of them is told.
type Answers = Vec<(Reply, Vec<Answer>)>;

/// The rules in force and what loads the next ones.
pub struct Rules {
    published: Published,
    /// Here, or with the load that is under way.
    loader: Option<Loader>,
    under_way: Option<Pending<(Loader, Outcome)>>,
    /// Where rules are loaded and let go of.
    lane: Lane,
    /// Who asked since that began: the next load is theirs.
    next: Vec<Wanted>,
    /// What those are told whose load has ended, once it has reached both planes.
    answers: Answers,
    names: Resolver,
    readiness: Readiness,
    /// Where what is said of servers is kept.
    standings: PathBuf,
    /// Tells of changes of PEM files, which are `rename`d; until somebody takes it.
    pem_watch: Option<Watch>,
    /// Former rules: let go of on the lane when nobody else holds them any more, so that no worker ever frees
    /// ten thousand routers between two packets.
    former: Vec<Arc<Snapshot>>,
    /// When to look at them.
    next_look: Instant,
}

/// A load that somebody or something asked for.
enum Wanted {
    /// New rules.
    Load(Option<Reply>),
    /// What was read last, with what names of servers stand for now.
    Names,
    /// The same, with what somebody says of a server.
    Say(Saying, Reply),
    /// Only a look at them.
    Preview(Reply),
}

/// What a load came to.
enum Outcome {
    /// What is in force now, what was before, and what those are told who asked.
    Loaded(Arc<Snapshot>, Arc<Snapshot>, Answers),
    Previewed,
}

impl Rules {
    /// Loads the rules for the first time. `links` follows the way to their files.
    ///
    /// # Errors
    /// If the cryptography fails, or there is no thread; the rules themselves never do.
    pub fn load(
        config: &Arc<StaticConfig>,
        shared: &Arc<Shared>,
        links: Option<FileWatcher>,
    ) -> Result<Self, String> {
        let loader = Loader::keeping(Arc::clone(config)).map_err(|error| error.to_string())?;
        let (pems, pem_watch) = pem_watch(config).unzip();
        let mut loader = loader.sharing(Arc::clone(shared)).watching(pems, links);
        loader.set_standings(standings::load(&standings::file(&config.state_dir)));
        let lane = Lane::start("rules").map_err(|error| format!("no thread for rules: {error}"))?;
        let first = lane.ask(move || {
            let snapshot = loader.load();
            (loader, snapshot)
        });
        let (mut loader, snapshot) = first.blocking();
        // Not before: until there are rules nobody is served, and everything waits for this thread.
        drop(lane.ask(sys::lower_priority));
        let file = standings::file(&config.state_dir);
        let outdated = loader.take_outdated();
        standings::forgotten(&file, loader.standings(), &outdated);
        report(None, &snapshot);
        Ok(Self {
            names: loader.names(),
            readiness: loader.readiness().clone(),
            standings: standings::file(&config.state_dir),
            published: Arc::new(ArcSwap::from_pointee(snapshot)),
            loader: Some(loader),
            under_way: None,
            lane,
            next: Vec::new(),
            answers: Vec::new(),
            pem_watch,
            former: Vec::new(),
            next_look: Instant::now(),
        })
    }

    /// What the workers read.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Which servers take requests now.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The names of servers.
    pub fn names(&self) -> &Resolver {
        &self.names
    }

    /// Reads all rule files anew, on the lane; a load that is under way is followed by another.
    pub fn reload(&mut self) {
        self.want(Wanted::Load(None));
    }

    /// What tells that a PEM file has changed, which [`Self::rename`] takes up; once.
    pub fn pem_watch(&mut self) -> Option<Watch> {
        self.pem_watch.take()
    }

    /// Takes up what names of servers stand for now, which servers are ready, and PEM files that have changed, as
    /// [`Self::reload`] does with rule files.
    pub fn rename(&mut self) {
        self.want(Wanted::Names);
    }

    /// Takes up what somebody says of a server; answers when it is so ([`Self::answer`]).
    pub fn say(&mut self, saying: Saying, reply: Reply) {
        self.want(Wanted::Say(saying, reply));
    }

    /// Reads them, or only looks at them, and says what came of it.
    pub fn reload_for(&mut self, reply: Reply, dry_run: bool) {
        self.want(if dry_run {
            Wanted::Preview(reply)
        } else {
            Wanted::Load(Some(reply))
        });
    }

    /// Tells those who asked for the load that ended last that its rules are in force.
    pub fn answer(&mut self) {
        for (reply, answers) in self.answers.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(answers);
        }
    }

    /// Resolves when a load has ended and its rules are published, with these; with `None` when nothing has changed but
    /// how many former rules are held. Once the rules have reached the other plane, too, call [`Self::answer`].
    /// Cancel-safe.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        loop {
            let loaded = async {
                match &mut self.under_way {
                    Some(load) => load.done().await,
                    None => std::future::pending().await,
                }
            };
            let (loader, outcome) = tokio::select! {
                loaded = loaded => loaded,
                () = sleep_until(self.next_look), if !self.former.is_empty() => {
                    if self.let_go() {
                        return None;
                    }
                    continue;
                }
            };
            self.under_way = None;
            self.loader = Some(loader);
            let snapshot = match outcome {
                Outcome::Loaded(snapshot, before, answers) => {
                    self.former.push(before);
                    self.answers.extend(answers);
                    Some(snapshot)
                }
                Outcome::Previewed => None,
            };
            self.start();
            return snapshot;
        }
    }

    /// How many loads are in memory: that in force, and those that somebody still looks at.
    pub fn held(&self) -> usize {
        1 + self.former.len()
    }

    /// Lets go of former rules that nobody else holds; whether there were any.
    fn let_go(&mut self) -> bool {
        self.next_look = Instant::now() + FORMER_RULES_LOOK;
        let free = self
            .former
            .extract_if(.., |rules| Arc::strong_count(rules) == 1);
        let free: Vec<Arc<Snapshot>> = free.collect();
        let any = !free.is_empty();
        if any {
            // Nobody waits for the end of that.
            drop(self.lane.ask(move || {
                drop(free);
                sys::return_memory();
            }));
        }
        any
    }

    fn want(&mut self, wanted: Wanted) {
        self.next.push(wanted);
        self.start();
    }

    /// Starts what is wanted next, if nothing is under way. Former rules are let go of first, so that loads that follow
    /// each other take the same memory and never pile up. All loads that wait are one; a look is one of its own.
    fn start(&mut self) {
        if self.loader.is_none() || self.next.is_empty() {
            return;
        }
        self.let_go();
        let preview = self
            .next
            .iter()
            .position(|wanted| matches!(wanted, Wanted::Preview(_)));
        let first: Vec<Wanted> = match preview {
            Some(0) => self.next.drain(..1).collect(),
            Some(index) => self.next.drain(..index).collect(),
            None => self.next.drain(..).collect(),
        };
        let Some(loader) = self.loader.take() else {
            return;
        };
        let published = Arc::clone(&self.published);
        let standings = self.standings.clone();
        let load = move || run(loader, first, &published, &standings);
        self.under_way = Some(self.lane.ask(load));
    }
}

fn pem_watch(config: &StaticConfig) -> Option<(FileWatcher, Watch)> {
    let watching = config.rules.watch.then(FileWatcher::new)?;
    let not = |error: &std::io::Error| {
        warn!("certificates are not watched: {error}; send SIGHUP after a change");
    };
    watching.inspect_err(not).ok()
}

/// On the lane: also publishing, so that neither comparing nor freeing what was there before is the control
/// thread's.
fn run(
    mut loader: Loader,
    wanted: Vec<Wanted>,
    published: &Published,
    standings: &Path,
) -> (Loader, Outcome) {
    let (mut replies, mut said) = (Vec::new(), Vec::new());
    let mut read = false;
    for wanted in wanted {
        match wanted {
            Wanted::Names => {}
            Wanted::Say(saying, reply) => {
                let rules = published.load();
                match standings::change(standings, loader.standings(), &rules, &saying) {
                    Ok(standings) => {
                        loader.set_standings(standings);
                        said.push(reply);
                    }
                    Err(reason) => {
                        let _ = reply.send(vec![Answer::Refused(reason)]);
                    }
                }
            }
            Wanted::Load(reply) => {
                read = true;
                replies.extend(reply);
            }
            Wanted::Preview(reply) => {
                let before = published.load_full();
                let answers = match loader.preview() {
                    Ok(preview) => answers(&before, &preview, true),
                    Err(error) => vec![Answer::Refused(error.to_string())],
                };
                // Whoever asked may have gone.
                let _ = reply.send(answers);
                return (loader, Outcome::Previewed);
            }
        }
    }
    let snapshot = Arc::new(if read {
        loader.load()
    } else {
        loader.compile()
    });
    let outdated = loader.take_outdated();
    standings::forgotten(standings, loader.standings(), &outdated);
    let before = published.swap(Arc::clone(&snapshot));
    report(Some(&before), &snapshot);
    let said = said
        .into_iter()
        .map(|reply| (reply, standings::done(&snapshot)));
    let read = replies
        .into_iter()
        .map(|reply| (reply, answers(&before, &snapshot, false)));
    let told = said.chain(read).collect();
    (loader, Outcome::Loaded(snapshot, before, told))
}

fn answers(before: &Snapshot, now: &Snapshot, dry_run: bool) -> Vec<Answer> {
    let changes = before.inventory.changes_to(&now.inventory);
    let more = changes.len().saturating_sub(ADMIN_CHANGES_MAX);
    let named = changes.into_iter().take(ADMIN_CHANGES_MAX);
    let mut answers: Vec<Answer> = named
        .map(|(change, name)| Answer::Change {
            change,
            name: name.to_string(),
        })
        .collect();
    if more > 0 {
        answers.push(Answer::MoreChanges(more));
    }
    answers.extend(now.problems.iter().map(|problem| Answer::Problem {
        error: problem.severity == Severity::Error,
        line: problem.to_string(),
    }));
    answers.push(Answer::Done {
        generation: if dry_run {
            before.generation
        } else {
            now.generation
        },
        errors: now.errors(),
        dry_run,
    });
    answers
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
    if !now.uncertified.is_empty()
        && before.is_none_or(|before| before.uncertified != now.uncertified)
    {
        let first: Vec<&str> = now
            .uncertified
            .iter()
            .take(NAMES_TOLD)
            .map(|name| &**name)
            .collect();
        error!(
            "NO CERTIFICATE for {} names of routers with tls, whose clients get the self-signed one: {}{}; add them to \
             tls.certificates, a certResolver to the routers, or a default certificate to tls.stores.default",
            now.uncertified.len(),
            first.join(", "),
            if now.uncertified.len() > NAMES_TOLD {
                ", ..."
            } else {
                ""
            }
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rules::loaded;

    #[test]
    fn so_many_changes_are_named_and_more_are_counted() {
        let services = |count: usize| {
            let one = |number| {
                format!("s{number}: {{loadBalancer: {{servers: [{{url: 'http://192.0.2.1'}}]}}}}")
            };
            let services: Vec<_> = (0..count).map(one).collect();
            loaded(&format!("http: {{services: {{{}}}}}", services.join(", ")))
        };
        for (more, counted) in [(0, None), (1, Some(1))] {
            let answers = answers(&services(1), &services(1 + ADMIN_CHANGES_MAX + more), true);
            let named = answers.iter();
            let named = named.filter(|answer| matches!(answer, Answer::Change { .. }));
            assert_eq!(named.count(), ADMIN_CHANGES_MAX);
            let beyond = answers.iter().find_map(|answer| match answer {
                Answer::MoreChanges(count) => Some(*count),
                _ => None,
            });
            assert_eq!(beyond, counted);
        }
    }
}
