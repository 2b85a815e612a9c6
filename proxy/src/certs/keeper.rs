//! The thread that looks after certificates: orders what the plan says, one order of a resolver at a time, and hands
//! what it gets to the loader.
//!
//! It may compute and wait for the disk, at low priority; neither workers nor the control thread wait for it. It is
//! never joined: whatever moment it ends at, what is on disk is enough to go on.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use instant_acme::Account;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::LocalSet;
use tracing::{error, info, warn};

use super::deploy::{self, Deployed};
use super::order::{Begun, Context, Failure};
use super::overview::{Overview, overview};
use super::plan::{Order, plan};
use super::proof::Proofs;
use super::queue::Queue;
use super::store::{Key, Record, Store};
use super::{authority, durable, renewal, tailscale, traefik};
use crate::clock;
use crate::config::static_file::{Acme, Issuer, Resolver};
use crate::config::{Needs, StaticConfig};
use crate::limits::{CERTIFICATES_LOOK, CERTIFICATES_NEVER, DEPLOYS_AT_ONCE};
use crate::tls::Shared;

mod deployments;

use self::deployments::Whose;

/// Below the state directory: accounts, orders that were begun, waiting times.
pub(super) const DIRECTORY: &str = "acme";

/// The control plane's end.
pub struct Keeper {
    needs: watch::Sender<Arc<Needs>>,
    asked: mpsc::UnboundedSender<Asked>,
    changed: Arc<Notify>,
    overview: Arc<ArcSwap<Overview>>,
}

/// What an administrator asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// To renew the certificates that have one of these names, now, and to try names that failed.
    Renew(Vec<String>),
    /// To read the store again: something was imported.
    ReadAgain,
}

/// What all resolvers share, on the thread.
struct State {
    config: Arc<StaticConfig>,
    directory: PathBuf,
    store: RefCell<Store>,
    queue: RefCell<Queue>,
    /// URLs of the orders that an earlier process left, until they are gone on with: if such an order was refused while
    /// nobody answered for it, that says nothing of its names.
    left: RefCell<HashSet<String>>,
    /// Certificates to renew whatever the plan says.
    forced: RefCell<HashSet<Key>>,
    proofs: Proofs,
    shared: Arc<Shared>,
    needs: watch::Receiver<Arc<Needs>>,
    /// For the control thread: there are other certificates now.
    changed: Arc<Notify>,
    /// For the resolvers: look again.
    again: watch::Sender<u64>,
    /// For deployments: there are other certificates now.
    stored: watch::Sender<u64>,
    /// How those stand that are looked after.
    deployed: RefCell<BTreeMap<Whose, Deployed>>,
    /// Held while one is under way.
    deploying: Semaphore,
    overview: Arc<ArcSwap<Overview>>,
}

impl Keeper {
    /// Reads the store, gives what it holds to `shared`, and starts the thread. `None` where no resolver is configured,
    /// and rules deploy nothing.
    ///
    /// # Errors
    /// One line if the state directory cannot be used or the thread cannot start.
    pub fn start(config: &Arc<StaticConfig>, shared: &Arc<Shared>) -> Result<Option<Self>, String> {
        if config.resolvers.is_empty() && !config.rules.allow_deploy {
            return Ok(None);
        }
        let unusable = |error: io::Error| {
            format!(
                "stateDir: {} cannot be used: {error}; choose another with stateDir",
                config.state_dir.display()
            )
        };
        let store = open_store(config).map_err(unusable)?;
        let directory = config.state_dir.join(DIRECTORY);
        for part in ["accounts", "orders", deploy::DIRECTORY] {
            durable::make_directory(&directory.join(part)).map_err(unusable)?;
        }
        publish(&store, shared);
        let (needs, wanted) = watch::channel(Arc::default());
        let (asked, asks) = mpsc::unbounded_channel();
        let keeper = Self {
            needs,
            asked,
            changed: Arc::default(),
            overview: Arc::default(),
        };
        let (changed, overview) = (Arc::clone(&keeper.changed), Arc::clone(&keeper.overview));
        let (config, shared) = (Arc::clone(config), Arc::clone(shared));
        let run = move || {
            crate::sys::lower_priority();
            let left = begun(&directory).into_iter().map(|order| order.url);
            let state = State {
                left: RefCell::new(left.collect()),
                queue: RefCell::new(Queue::open(&directory.join("queue.json"))),
                proofs: Proofs::new(Arc::clone(&shared)),
                again: watch::Sender::new(0),
                stored: watch::Sender::new(0),
                deployed: RefCell::default(),
                deploying: Semaphore::new(DEPLOYS_AT_ONCE),
                forced: RefCell::default(),
                store: RefCell::new(store),
                needs: wanted,
                config,
                directory,
                shared,
                changed,
                overview,
            };
            state.run(asks);
        };
        let thread = std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(run);
        thread.map_err(|error| format!("the thread for certificates cannot start: {error}"))?;
        Ok(Some(keeper))
    }

    /// Says what the rules need from now on.
    pub fn need(&self, needs: Arc<Needs>) {
        self.needs.send_if_modified(|old| {
            let other = **old != *needs;
            *old = needs;
            other
        });
    }

    /// Resolves when the loader would offer other certificates than before. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What there is, and how it stands.
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.load_full()
    }

    /// Hands over what an administrator asks.
    pub fn ask(&self, asked: Asked) {
        // It fails only when the thread is gone, which the log has told.
        let _ = self.asked.send(asked);
    }
}

impl State {
    fn run(self, asks: mpsc::UnboundedReceiver<Asked>) {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return error!("certificates are not looked after: {error}"),
        };
        let state = Rc::new(self);
        LocalSet::new().block_on(&runtime, async {
            for resolver in &state.config.resolvers {
                tokio::task::spawn_local(Rc::clone(&state).look_after(resolver.clone()));
            }
            tokio::task::spawn_local(Rc::clone(&state).deploy_all());
            state.answer(asks).await;
        });
    }

    async fn answer(&self, mut asks: mpsc::UnboundedReceiver<Asked>) {
        while let Some(asked) = asks.recv().await {
            match asked {
                Asked::Renew(names) => {
                    let named = |name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
                    let store = self.store.borrow();
                    let chosen = store
                        .all()
                        .filter(|(_, held)| held.record.names.iter().any(|name| named(name)));
                    self.forced
                        .borrow_mut()
                        .extend(chosen.map(|(key, _)| key.clone()));
                    self.queue.borrow_mut().forgive(named);
                }
                Asked::ReadAgain => match open_store(&self.config) {
                    Ok(store) => {
                        *self.store.borrow_mut() = store;
                        self.publish();
                    }
                    Err(error) => error!("certificates cannot be read again: {error}"),
                },
            }
            self.again.send_modify(|count| *count += 1);
        }
    }

    /// Looks after one resolver, for ever.
    async fn look_after(self: Rc<Self>, resolver: Resolver) {
        let (mut needs, mut again) = (self.needs.clone(), self.again.subscribe());
        let (mut account, mut windows) = (None, renewal::Windows::default());
        loop {
            needs.borrow_and_update();
            again.borrow_and_update();
            let worked = self.step(&resolver, &mut account, &mut windows).await;
            self.overview.store(Arc::new(self.look()));
            let Some(until) = worked else { continue };
            // Never much longer, as the clock may be set.
            let wait = until.saturating_sub(now()).clamp(1, CERTIFICATES_LOOK);
            tokio::select! {
                _ = needs.changed() => {}
                _ = again.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(wait.unsigned_abs())) => {}
            }
        }
    }

    /// Does one thing, if there is one to do; else until when there is none.
    async fn step(
        &self,
        resolver: &Resolver,
        account: &mut Option<Account>,
        windows: &mut renewal::Windows,
    ) -> Option<i64> {
        let wait = self.queue.borrow().authority_not_before(&resolver.name);
        if wait > now() {
            return Some(wait);
        }
        match &resolver.issuer {
            Issuer::Acme(acme) => self.ask_authority(resolver, acme, account, windows).await,
            Issuer::Tailscale(socket) => self.ask_tailscaled(resolver, socket).await,
        }
    }

    async fn ask_tailscaled(&self, resolver: &Resolver, socket: &Path) -> Option<i64> {
        let (order, ready_at) = self.next(resolver);
        let Some(order) = order.filter(|_| ready_at <= now()) else {
            return Some(ready_at);
        };
        let names: Vec<String> = order.names.iter().map(ToString::to_string).collect();
        let name = names.first()?;
        info!(
            resolver = &*resolver.name,
            name, "a certificate is asked for"
        );
        let replaced = order.replaces.as_ref().and_then(|key| {
            let store = self.store.borrow();
            store.get(key).map(|held| held.pair.not_after())
        });
        let outcome = tailscale::obtain(&resolver.name, socket, name, replaced, now()).await;
        self.finish(resolver, &names, order.replaces, outcome);
        None
    }

    async fn ask_authority(
        &self,
        resolver: &Resolver,
        acme: &Acme,
        account: &mut Option<Account>,
        windows: &mut renewal::Windows,
    ) -> Option<i64> {
        let mut begun = begun(&self.directory).into_iter();
        let begun = begun.find(|begun| *begun.resolver == *resolver.name);
        let (order, ready_at) = self.next(resolver);
        let order = order.filter(|_| ready_at <= now());
        if begun.is_none() && order.is_none() && !self.has(resolver) {
            return Some(ready_at);
        }
        let reached = self.account(resolver, acme, account).await?;
        let context = |names: &[String], replaces: Option<&Key>| Context {
            acme,
            account: &reached,
            proofs: &self.proofs,
            path: self.order_path(resolver, names),
            replaces: replaces.and_then(|key| {
                let store = self.store.borrow();
                store.get(key).map(|held| held.record.certificate.clone())
            }),
            is_deaf: &windows.is_deaf,
        };
        if let Some(begun) = begun {
            let names = begun.names.clone();
            info!(
                resolver = &*resolver.name,
                names = names.join(" "),
                "an order that was begun is gone on with"
            );
            let was_left = self.left.borrow_mut().remove(&begun.url);
            let mut outcome = context(&names, None).resume(begun).await;
            if was_left {
                outcome = outcome.map_err(Failure::of_an_order_left_alone);
            }
            self.finish(resolver, &names, None, outcome);
            return None;
        }
        if let Some(order) = order {
            let names: Vec<String> = order.names.iter().map(ToString::to_string).collect();
            info!(
                resolver = &*resolver.name,
                names = names.join(" "),
                "a certificate is asked for"
            );
            let outcome = context(&names, order.replaces.as_ref())
                .obtain(&order)
                .await;
            self.finish(resolver, &names, order.replaces, outcome);
            return None;
        }
        let asked = windows
            .refresh(resolver, &reached, &self.store, now())
            .await;
        // A window that is open already counts at once.
        Some(self.next(resolver).1.min(asked))
    }

    async fn account(
        &self,
        resolver: &Resolver,
        acme: &Acme,
        account: &mut Option<Account>,
    ) -> Option<Account> {
        if account.is_none() {
            let name = super::store::hash(&[&resolver.name, &acme.ca_server]);
            let path = self.directory.join("accounts").join(format!("{name}.json"));
            match authority::account(&resolver.name, acme, &path).await {
                Ok(made) => *account = Some(made),
                Err(error) => self.authority_failed(resolver, &error.to_string()),
            }
        }
        account.clone()
    }

    fn has(&self, resolver: &Resolver) -> bool {
        self.store
            .borrow()
            .all()
            .any(|(_, held)| *held.record.resolver == *resolver.name)
    }

    /// The next order, and from when on it, or another, may be tried.
    fn next(&self, resolver: &Resolver) -> (Option<Order>, i64) {
        let (store, queue, needs) = (
            self.store.borrow(),
            self.queue.borrow(),
            self.needs.borrow().clone(),
        );
        let forced = self.forced.borrow();
        let have = renewal::have(&store, &forced);
        let plan = plan(
            &needs.wanted,
            &have,
            |name| needs.files.serve(name),
            &queue.troubled(),
            now(),
        );
        let orders = plan
            .orders
            .into_iter()
            .filter(|order| *order.resolver == *resolver.name);
        let first = orders.min_by_key(|order| queue.not_before(order));
        let at = first.as_ref().map(|order| queue.not_before(order));
        let kept = plan.kept.iter().filter(|(key, _)| {
            store
                .get(key)
                .is_some_and(|held| *held.record.resolver == *resolver.name)
        });
        let renewal = kept.map(|(_, at)| *at).filter(|at| *at > now()).min();
        let at = at.into_iter().chain(renewal).min();
        (first, at.unwrap_or(now() + CERTIFICATES_NEVER))
    }

    fn finish(
        &self,
        resolver: &Resolver,
        names: &[String],
        replaces: Option<Key>,
        outcome: Result<Record, Failure>,
    ) {
        let path = self.order_path(resolver, names);
        let over = match outcome {
            Ok(record) => self.keep(resolver, record, replaces),
            Err(Failure::Names(refused)) => {
                for (name, said) in refused {
                    self.name_failed(resolver, &name, said);
                }
                true
            }
            Err(Failure::Order(said)) => {
                names
                    .iter()
                    .for_each(|name| self.name_failed(resolver, name, said.clone()));
                true
            }
            Err(Failure::Interrupted(said)) => {
                info!(
                    resolver = &*resolver.name,
                    names = names.join(" "),
                    "an order that was begun came to nothing, a new one follows: {said}"
                );
                true
            }
            Err(Failure::Gone(said)) => {
                self.authority_failed(resolver, &said);
                true
            }
            // The order, if there is one yet, is gone on with later.
            Err(Failure::Authority(said)) => {
                self.authority_failed(resolver, &said);
                false
            }
        };
        if over && let Err(error) = durable::remove_all(&path) {
            warn!("{} cannot be removed: {error}", path.display());
        }
    }

    fn keep(&self, resolver: &Resolver, record: Record, replaces: Option<Key>) -> bool {
        let names: Vec<Box<str>> = record
            .names
            .iter()
            .map(|name| Box::from(name.as_str()))
            .collect();
        let order = Order {
            resolver: Arc::clone(&resolver.name),
            names,
            replaces: None,
        };
        let put = self.store.borrow_mut().put(record);
        let key = match put {
            Ok(key) => key,
            Err(line) => {
                self.authority_failed(resolver, &line);
                return false;
            }
        };
        self.queue.borrow_mut().succeeded(&order);
        self.forced.borrow_mut().remove(&key);
        if let Some(old) = replaces.filter(|old| *old != key) {
            self.forced.borrow_mut().remove(&old);
            if let Err(error) = self.store.borrow_mut().remove(&old) {
                warn!("a certificate that was replaced cannot be removed: {error}");
            }
        }
        info!(
            resolver = &*resolver.name,
            names = order.names.join(" "),
            "a certificate is there"
        );
        self.publish();
        true
    }

    fn name_failed(&self, resolver: &Resolver, name: &str, said: String) {
        error!(resolver = &*resolver.name, name, "no certificate: {said}");
        self.queue
            .borrow_mut()
            .name_failed(&resolver.name, name, said, now());
    }

    fn authority_failed(&self, resolver: &Resolver, said: &str) {
        error!(resolver = &*resolver.name, "no certificates: {said}");
        self.queue
            .borrow_mut()
            .authority_failed(&resolver.name, said.to_owned(), now());
    }

    fn publish(&self) {
        publish(&self.store.borrow(), &self.shared);
        self.changed.notify_one();
        self.stored.send_modify(|count| *count += 1);
    }

    fn look(&self) -> Overview {
        let needs = self.needs.borrow().clone();
        Overview {
            deployments: self.deployed.borrow().values().cloned().collect(),
            ..overview(&self.store.borrow(), &self.queue.borrow(), &needs, now())
        }
    }

    fn order_path(&self, resolver: &Resolver, names: &[String]) -> PathBuf {
        let mut parts: Vec<&str> = names.iter().map(String::as_str).collect();
        parts.push(&resolver.name);
        self.directory
            .join("orders")
            .join(format!("{}.json", super::store::hash(&parts)))
    }
}

/// The orders that are on disk.
fn begun(directory: &Path) -> Vec<Begun> {
    let paths = durable::list(&directory.join("orders")).unwrap_or_else(|error| {
        error!("orders that were begun cannot be read: {error}");
        Vec::new()
    });
    let read = |path: PathBuf| {
        let kept = durable::read(&path)
            .map_err(|line| error!("{line}"))
            .ok()??;
        serde_json::from_slice::<Begun>(&kept.body).ok()
    };
    paths.into_iter().filter_map(read).collect()
}

/// The store of this configuration, with what Traefik's files have for resolvers that have nothing in it.
///
/// # Errors
/// If the directory cannot be used.
fn open_store(config: &StaticConfig) -> io::Result<Store> {
    let (mut store, lines) = Store::open(&config.state_dir)?;
    lines.iter().for_each(|line| error!("{line}"));
    for resolver in &config.resolvers {
        if let Issuer::Acme(acme) = &resolver.issuer
            && let Some(path) = &acme.storage
        {
            traefik::take_over(&mut store, &resolver.name, path);
        }
    }
    Ok(store)
}

fn publish(store: &Store, shared: &Shared) {
    let pairs = store.all().map(|(_, held)| held.pair.clone()).collect();
    shared.obtained.store(Arc::new(pairs));
}

/// Seconds since 1970.
fn now() -> i64 {
    i64::try_from(clock::unix_seconds()).unwrap_or(i64::MAX)
}
