//! Where the demo plays: who the parties are, where they are, and what each of them expects.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use xtask::backend::Backend;
use xtask::daemon::{Daemon, within};
use xtask::lab::{Node, Switch};
use xtask::netns::{self, Namespace};

use super::proxy::{self, Proxy};
use super::visit::{Expected, Visit};
use crate::shell::{Failure, Outcome, repository, target};

/// Ports of the servers in rules/demo: HTTP for the proxy, HTTPS for steered connections.
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;

/// The server that is killed.
const KILLED: &str = "production-b";

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stands in the place of 10.77 when everything is on loopback.
const LAB: &str = "10.77.";
const LOOPBACK: &str = "127.77.";

/// An IPv4 address and, in the lab, an IPv6 address of the same party.
type Party = (&'static str, &'static str);

const EDGE: Party = ("10.77.0.1", "fd77::1");
const SNAT: Party = ("10.77.0.2", "fd77::2");
const TESTER: &[Party] = &[("10.77.30.7", "fd77::30:7")];
const CLIENT: &[Party] = &[("10.77.10.50", "fd77::10:50")];
const PARTNERS: &[Party] = &[
    ("10.77.20.51", "fd77::20:51"),
    ("10.77.20.52", "fd77::20:52"),
    ("10.77.20.53", "fd77::20:53"),
    ("10.77.20.54", "fd77::20:54"),
    ("10.77.20.55", "fd77::20:55"),
    ("10.77.20.61", "fd77::20:61"),
    ("10.77.20.62", "fd77::20:62"),
    ("10.77.20.72", "fd77::20:72"),
];
const STAGING: &[Party] = &[("10.77.1.10", "fd77::1:10")];
const PRODUCTION_A: &[Party] = &[("10.77.1.21", "fd77::1:21")];
const PRODUCTION_B: &[Party] = &[("10.77.1.22", "fd77::1:22")];

/// The names the servers answer with, each with its addresses and its node's name in the lab.
const SERVERS: &[(&str, &str, &[Party])] = &[
    ("staging", "staging", STAGING),
    ("production-a", "prod-a", PRODUCTION_A),
    ("production-b", "prod-b", PRODUCTION_B),
];

/// The parties, in place, with their servers running.
pub(super) struct Stage {
    // Servers first: they are dropped before the network they are in.
    servers: RefCell<BTreeMap<&'static str, Server>>,
    lab: Option<Lab>,
    directory: TempDir,
}

/// A server that runs.
enum Server {
    /// In this process.
    Here {
        #[expect(dead_code, reason = "held until it is stopped")]
        running: Vec<Backend>,
    },
    /// In one of its own, which can be killed.
    Apart(Daemon),
}

/// The namespaces of the demo as root.
struct Lab {
    edge: Node,
    tester: Node,
    partner: Node,
    client: Node,
    servers: Vec<Node>,
    _switch: Switch,
}

impl Stage {
    /// Everybody in a namespace of their own. Needs root.
    pub(super) fn namespaces() -> Outcome<Self> {
        netns::sweep()?;
        proxy::sweep()?;
        let switch = Switch::create()?;
        let edge = plug(&switch, "edge", &[EDGE, SNAT])?;
        edge.steers()?;
        let pass = target().join("xdp/weir-pass.o");
        if pass.exists() {
            edge.hear_xdp(&pass)?;
        }
        let mut nodes = Vec::new();
        for (_, short, addresses) in SERVERS {
            nodes.push(plug(&switch, short, addresses)?);
        }
        let lab = Lab {
            tester: plug(&switch, "tester", TESTER)?,
            partner: plug(&switch, "partner", PARTNERS)?,
            client: plug(&switch, "client", CLIENT)?,
            edge,
            servers: nodes,
            _switch: switch,
        };
        lab.introduce()?;
        Self::with_servers(Some(lab))
    }

    /// Everybody on a loopback address of their own.
    pub(super) fn loopback() -> Outcome<Self> {
        Self::with_servers(None)
    }

    fn with_servers(lab: Option<Lab>) -> Outcome<Self> {
        let stage = Self {
            servers: RefCell::default(),
            lab,
            directory: tempfile::tempdir()?,
        };
        for (name, ..) in SERVERS {
            stage.start(name)?;
        }
        Ok(stage)
    }

    /// Starts a server of this name.
    pub(super) fn start(&self, name: &str) -> Outcome {
        let found = (0..).zip(SERVERS).find(|(_, (known, ..))| *known == name);
        let (index, (name, _, parties)) = found.ok_or("no such server")?;
        let namespace = self.lab.as_ref().map(|lab| lab.servers[index].namespace());
        let addresses: Vec<String> = match namespace {
            Some(_) => parties
                .iter()
                .flat_map(|(v4, v6)| [(*v4).to_owned(), (*v6).to_owned()])
                .collect(),
            None => parties.iter().map(|(v4, _)| on_loopback(v4)).collect(),
        };
        let server = if *name == KILLED {
            Server::Apart(apart(name, &addresses, namespace)?)
        } else {
            let running = within(namespace, || {
                serve(name, addresses.iter().map(String::as_str)).map_err(|error| error.to_string())
            })?;
            Server::Here { running }
        };
        self.servers.borrow_mut().insert(*name, server);
        Ok(())
    }

    /// Ends a server: kill -9, where it is a process of its own.
    pub(super) fn stop(&self, name: &str) -> Outcome {
        if let Some(Server::Apart(mut daemon)) = self.servers.borrow_mut().remove(name) {
            daemon.signal(Signal::SIGKILL)?;
            daemon.wait(PATIENCE)?;
        }
        Ok(())
    }

    /// Where a client comes from whose requests the proxy spreads over production.
    pub(super) fn client(&self) -> IpAddr {
        self.address(CLIENT[0].0)
    }

    /// The URL of a server of production, as in the rule files.
    pub(super) fn url(&self, name: &str) -> String {
        let found = SERVERS.iter().find(|(known, ..)| *known == name);
        let (.., parties) = found.expect("a server of the demo");
        format!(
            "http://{}",
            SocketAddr::new(self.address(parties[0].0), HTTP)
        )
    }

    /// The namespace of the proxy.
    pub(super) fn edge(&self) -> Option<&Namespace> {
        self.lab.as_ref().map(|lab| lab.edge.namespace())
    }

    /// Where the proxy serves, over IPv4 and, in the lab, over IPv6.
    pub(super) fn entry_points(&self) -> Vec<SocketAddr> {
        match self.lab {
            Some(_) => vec![socket(EDGE.0, 443), socket(EDGE.1, 443)],
            None => vec![socket(&on_loopback(EDGE.0), HTTPS)],
        }
    }

    /// Whom the servers see as their peer when XDP has steered the connection.
    pub(super) fn is_snat(&self, peer: IpAddr) -> bool {
        [SNAT.0, SNAT.1].iter().any(|address| ip(address) == peer)
    }

    /// Writes the static file for this stage and gives its path. Rules are those of rules/demo; on loopback a copy of
    /// them with the addresses of this stage.
    pub(super) fn configure(&self) -> Outcome<PathBuf> {
        let directory = self.directory.path();
        let (rules, entry) = match &self.lab {
            Some(lab) => (
                repository().join("rules/demo"),
                steered_entry_point(lab.edge.device()),
            ),
            None => (
                self.rules_on_loopback()?,
                format!("    address: {}\n", self.entry_points()[0]),
            ),
        };
        let file = directory.join("weir.yml");
        let (rules, run) = (rules.display(), directory.join("run"));
        let common = format!(
            "providers:\n  file:\n    directory: {rules}\nruntimeDir: {}\n",
            run.display()
        );
        fs::write(
            &file,
            format!("entryPoints:\n  websecure:\n{entry}{common}"),
        )?;
        Ok(file)
    }

    /// Everybody's requests, in the order in which they are shown.
    pub(super) fn visits(&self) -> Vec<Visit> {
        let by_family = |pick: fn(&Party) -> &'static str, entry: SocketAddr| {
            let addresses = |parties: &[Party]| {
                parties
                    .iter()
                    .map(|party| self.address(pick(party)))
                    .collect()
            };
            let everyone = vec![
                ("production-a".to_owned(), 30),
                ("production-b".to_owned(), 10),
            ];
            vec![
                Visit::new(
                    "tester",
                    addresses(TESTER),
                    entry,
                    (4, 1),
                    Expected::Steered(&["staging"]),
                ),
                Visit::new(
                    "partner",
                    addresses(PARTNERS),
                    entry,
                    (2, 1),
                    Expected::Steered(&["production-a", "production-b"]),
                ),
                Visit::new(
                    "client",
                    addresses(CLIENT),
                    entry,
                    (5, 8),
                    Expected::Terminated(everyone),
                ),
            ]
        };
        let families: [fn(&Party) -> &'static str; 2] = [|party| party.0, |party| party.1];
        families
            .into_iter()
            .zip(self.entry_points())
            .flat_map(|(pick, entry)| by_family(pick, entry))
            .collect()
    }

    /// The namespace of a visitor.
    pub(super) fn home(&self, who: &str) -> Option<&Namespace> {
        let lab = self.lab.as_ref()?;
        let node = match who {
            "tester" => &lab.tester,
            "partner" => &lab.partner,
            _ => &lab.client,
        };
        Some(node.namespace())
    }

    /// Where we are, in one paragraph.
    pub(super) fn describe(&self, plane: &str) -> String {
        match self.lab {
            Some(_) => {
                format!("8 network namespaces on one switch, IPv4 and IPv6; steering: {plane}")
            }
            None => format!(
                "loopback addresses, IPv4; steering: {plane}\n\
                 As root this runs in network namespaces, over IPv6 too, and the steering is done by XDP in the NIC."
            ),
        }
    }

    /// How to go on by hand.
    pub(super) fn instructions(&self, proxy: &Proxy) -> String {
        let visits = self.visits();
        let commands = visits.iter().map(|visit| {
            let enter = self
                .home(visit.who)
                .map(|home| format!("nsenter --net=/run/netns/{} ", home.name()));
            let (enter, from, entry) = (enter.unwrap_or_default(), visit.addresses[0], visit.entry);
            format!("  {enter}curl -k --interface {from} https://{entry}/\n")
        });
        let commands: String = commands.collect();
        let status = proxy.command_line(&["steer", "status"]);
        format!(
            "Still running. Try by hand:\n{commands}  {status}\nCtrl-C ends it and removes everything."
        )
    }

    fn address(&self, address: &str) -> IpAddr {
        match self.lab {
            Some(_) => ip(address),
            None => ip(&on_loopback(address)),
        }
    }

    fn rules_on_loopback(&self) -> Outcome<PathBuf> {
        let copy = self.directory.path().join("rules");
        fs::create_dir(&copy)?;
        for entry in fs::read_dir(repository().join("rules/demo"))? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            fs::write(copy.join(entry.file_name()), on_loopback(&text))?;
        }
        Ok(copy)
    }
}

impl Lab {
    /// Makes the edge know everybody's hardware address before XDP needs it.
    fn introduce(&self) -> Outcome {
        let parties = [
            TESTER,
            PARTNERS,
            CLIENT,
            STAGING,
            PRODUCTION_A,
            PRODUCTION_B,
        ]
        .concat();
        let addresses: Vec<IpAddr> = parties
            .iter()
            .flat_map(|(v4, v6)| [ip(v4), ip(v6)])
            .collect();
        Ok(self.edge.greet(&addresses)?)
    }
}

fn plug(switch: &Switch, name: &str, parties: &[Party]) -> Outcome<Node> {
    let addresses: Vec<String> = parties
        .iter()
        .flat_map(|(v4, v6)| [format!("{v4}/16"), format!("{v6}/64")])
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    Ok(switch.plug(name, &addresses)?)
}

/// A server in a process of its own, once it serves.
fn apart(name: &str, addresses: &[String], namespace: Option<&Namespace>) -> Outcome<Daemon> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("serve").arg(name).args(addresses);
    let mut daemon = Daemon::start(&mut command, namespace)?;
    for address in addresses {
        for port in [HTTP, HTTPS] {
            daemon.listening(socket(address, port), PATIENCE)?;
        }
    }
    Ok(daemon)
}

pub(super) fn serve<'a>(
    name: &str,
    addresses: impl Iterator<Item = &'a str>,
) -> Outcome<Vec<Backend>> {
    let mut servers = Vec::new();
    for address in addresses {
        servers.push(
            Backend::plain(name, socket(address, HTTP))
                .map_err(|error| busy(address, HTTP, &error))?,
        );
        servers.push(
            Backend::tls(name, socket(address, HTTPS))
                .map_err(|error| busy(address, HTTPS, &error))?,
        );
    }
    Ok(servers)
}

fn busy(address: &str, port: u16, error: &std::io::Error) -> Failure {
    format!("cannot serve on {address} port {port}: {error}").into()
}

fn steered_entry_point(device: &str) -> String {
    let pins = proxy::pins();
    format!(
        "    address: \":443\"
    steering:
      interfaces: [{device}]
      mode: auto
steering:
  snat:
    addresses: [{}, \"{}\"]
  onStop: detach
  pinPath: {pins}
",
        SNAT.0, SNAT.1
    )
}

fn on_loopback(text: &str) -> String {
    text.replace(LAB, LOOPBACK)
}

fn socket(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

fn ip(address: &str) -> IpAddr {
    address
        .parse()
        .expect("the demo's own addresses are well-formed")
}
