//! A site: a client and an edge on one switch with two servers, each of which speaks TLS under a name of its own.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use weir::steering;
use xtask::backend::{Answer, Backend, sha256};
use xtask::lab::{Node, Switch};

use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, require_root};

const SERVERS: [(&str, [&str; 2]); 2] = [
    ("a", ["10.0.0.11", "fd00::11"]),
    ("b", ["10.0.0.12", "fd00::12"]),
];

pub struct Site {
    edge: Node,
    client: Node,
    mode: &'static str,
    pins: PathBuf,
    _backends: Vec<Backend>,
    servers: Vec<Node>,
    _switch: Switch,
}

impl Site {
    /// The address [`Download`] comes from.
    pub const DOWNLOADER: &str = "10.0.0.50";

    /// A site whose edge steers in this mode. `None`, with the reason printed, where there is no root or no XDP object.
    pub fn new(mode: &'static str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !require_root("XDP in network namespaces") {
            return None;
        }
        if steering::OBJECT.is_none() {
            println!("skipped: needs the XDP object (cargo xtask build-ebpf)");
            return None;
        }
        let switch = Switch::create().expect("a switch");
        let edge = switch
            .plug("edge", &["10.0.0.100/24", "fd00::100/64"])
            .expect("the edge node");
        edge.hear_xdp(&passing_program())
            .expect("a passing program on the switch");
        let addresses: Vec<String> = clients().map(with_prefix_length).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let client = switch.plug("client", &addresses).expect("the client node");
        let (mut servers, mut backends) = (Vec::new(), Vec::new());
        for (name, addresses) in SERVERS {
            let held = addresses.map(with_prefix_length);
            let node = switch
                .plug(name, &held.each_ref().map(String::as_str))
                .expect("a server node");
            let any = SocketAddr::from(([0u16; 8], 443));
            backends.push(node.within(|| Backend::tls(name, any)).expect("a server"));
            servers.push(node);
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pins = PathBuf::from(format!(
            "/sys/fs/bpf/weir-site-{}-{number}",
            std::process::id()
        ));
        Some(Self {
            edge,
            client,
            mode,
            pins,
            _backends: backends,
            servers,
            _switch: switch,
        })
    }

    /// Where clients connect to, over IPv4.
    pub fn entry() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 100], 443))
    }

    pub fn edge_device(&self) -> &str {
        self.edge.device()
    }

    /// ip(8) on the edge, with these arguments.
    pub fn edge_ip(&self, arguments: &[&str]) {
        let ip = || Command::new("ip").args(arguments).output();
        let output = self.edge.within(ip).expect("ip");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Starts the proxy, which steers everybody to both servers.
    pub fn start(&self) -> Weir {
        let (device, mode, pins) = (self.edge.device(), self.mode, self.pins.display());
        let text = format!(
            "entryPoints:\n  web:\n    address: :443\n    steering: {{interfaces: [{device}], mode: {mode}}}\n\
             steering: {{pinPath: {pins}}}\nproviders:\n  file:\n    directory: \"{{dir}}/rules\"\n\
             runtimeDir: \"{{dir}}/run\"\nworkers: 1\n"
        );
        let setup = Setup::new(&text).within(self.edge.namespace());
        let weir = setup
            .rules("rules.yml", &self.rules(&["a", "b"]))
            .start()
            .listening(Self::entry());
        eventually("the program knows the way to every server", || {
            self.is_ready(&weir).then_some(())
        });
        weir
    }

    fn is_ready(&self, weir: &Weir) -> bool {
        let status = self.status(weir);
        let pools = status["pools"].as_array().into_iter().flatten();
        let servers = pools
            .filter_map(|pool| pool["servers"].as_array())
            .flatten();
        let known = servers
            .filter(|server| server["nextHop"] == "known")
            .count();
        self.mode == "off"
            || known == SERVERS.len() * 2 && status["listeners"] != Value::Array(Vec::new())
    }

    /// Rules that steer by the client's family, and some IPv6 clients to IPv4 servers.
    pub fn rules(&self, names: &[&str]) -> String {
        let chosen = || SERVERS.iter().filter(|(name, _)| names.contains(name));
        let servers = |family: usize| -> String {
            chosen()
                .map(|(_, addresses)| format!("{{address: \"{}\"}},", socket(addresses[family])))
                .collect()
        };
        let router = |name: &str, source: &str, priority: u32, service: &str| {
            format!(
                "    {name}: {{entryPoints: [web], rule: \"ClientIP(`{source}`)\", priority: {priority}, steer: true, \
                 service: {service}}}\n"
            )
        };
        format!(
            "tcp:\n  routers:\n{}{}{}  services:\n    four: {{loadBalancer: {{servers: [{}]}}}}\n    \
             six: {{loadBalancer: {{servers: [{}]}}}}\n",
            router("crossing", "fd00::c0/124", 30, "four"),
            router("four", "10.0.0.0/24", 20, "four"),
            router("six", "fd00::/64", 10, "six"),
            servers(0),
            servers(1),
        )
    }

    pub fn clients(&self) -> Vec<String> {
        clients().collect()
    }

    /// Whether this client's server is of the other address family.
    pub fn crosses_families(&self, client: &str) -> bool {
        client.starts_with("fd00::c")
    }

    /// The name of the server that answers this client.
    pub fn who_answers(&self, client: &str) -> String {
        let output = self
            .client
            .within(|| curl(client, "/").output())
            .expect("curl");
        let answer = Answer::parse(&output.stdout)
            .unwrap_or_else(|| panic!("{client}: {}", String::from_utf8_lossy(&output.stderr)));
        answer.node
    }

    /// The body of the answer to this client, asked with these further arguments of curl.
    pub fn fetch(&self, client: &str, path: &str, arguments: &[&str]) -> Vec<u8> {
        let ask = || curl(client, path).args(arguments).output();
        let output = self.client.within(ask).expect("curl");
        assert!(
            output.status.success(),
            "{client}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Does this where clients are.
    pub fn within_client<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.client.within(work)
    }

    /// Does this at each server.
    pub fn within_servers<T: Send>(&self, work: fn() -> T) -> Vec<T> {
        self.servers.iter().map(|node| node.within(work)).collect()
    }

    /// More servers of the same names at this port, in the clear.
    pub fn serve_plain(&self, port: u16) -> Vec<Backend> {
        self.serve(|name| Backend::plain(name, ([0u16; 8], port)))
    }

    /// More servers of the same names at this port, over TLS.
    pub fn serve_tls(&self, port: u16) -> Vec<Backend> {
        self.serve(|name| Backend::tls(name, ([0u16; 8], port)))
    }

    fn serve(&self, start: impl Fn(&str) -> std::io::Result<Backend> + Sync) -> Vec<Backend> {
        let servers = SERVERS.iter().zip(&self.servers);
        let servers = servers.map(|((name, _), node)| node.within(|| start(name)));
        servers.map(|server| server.expect("a server")).collect()
    }

    /// The name in the certificate that openssl shows this client.
    pub fn certificate_name(&self, client: &str) -> String {
        let script = "openssl s_client -connect \"$1\" -bind \"$2\" </dev/null 2>&1 | \
                      openssl x509 -noout -ext subjectAltName";
        let shell = || {
            Command::new("sh")
                .args(["-c", script, "sh", &entry_of(client), client])
                .output()
        };
        let output = self.client.within(shell).expect("openssl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split("DNS:")
            .nth(1)
            .map(|name| name.trim().to_owned())
            .unwrap_or(text)
    }

    /// `weir steer status --json`.
    pub fn status(&self, weir: &Weir) -> Value {
        serde_json::from_str(&self.steer(weir, &["status", "--json"])).expect("JSON")
    }

    /// What `weir steer` with these arguments prints.
    pub fn steer(&self, weir: &Weir, arguments: &[&str]) -> String {
        let file = weir.setup().config_file();
        let output = weir
            .setup()
            .run(&[&["--configFile", &file, "steer"], arguments].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = steering::detach(&self.pins);
    }
}

/// A long answer, read piece by piece.
pub struct Download {
    curl: Child,
    body: ChildStdout,
    read: Vec<u8>,
}

impl Download {
    /// Asks for `length` bytes of the pattern and reads the first of them.
    pub fn start(site: &Site, length: u64) -> Self {
        let path = format!("/bytes/{length}");
        let spawn = || curl(Site::DOWNLOADER, &path).stdout(Stdio::piped()).spawn();
        let mut curl = site.client.within(spawn).expect("curl");
        let body = curl.stdout.take().expect("a pipe");
        let mut download = Self {
            curl,
            body,
            read: Vec::new(),
        };
        download.read(1);
        download
    }

    /// Reads this many more bytes.
    pub fn read(&mut self, length: u64) {
        let read = self
            .body
            .by_ref()
            .take(length)
            .read_to_end(&mut self.read)
            .expect("curl's output");
        assert_eq!(read as u64, length, "the download goes on");
    }

    /// Reads to the end; the hash of all of it.
    pub fn rest(mut self) -> String {
        self.body
            .read_to_end(&mut self.read)
            .expect("curl's output");
        assert!(self.curl.wait().expect("curl").success());
        sha256(&self.read)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// Beside the product's object in the target directory this test binary was built into.
fn passing_program() -> PathBuf {
    let executable = std::env::current_exe().expect("this binary");
    let target = executable
        .ancestors()
        .nth(3)
        .expect("<target>/<profile>/deps/<this binary>");
    target.join("xdp/weir-pass.o")
}

fn curl(client: &str, path: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sSk", "--max-time", "60", "--interface", client]);
    curl.arg(format!("https://{}{path}", entry_of(client)));
    curl
}

fn entry_of(client: &str) -> String {
    let entry = if client.contains(':') {
        "fd00::100"
    } else {
        "10.0.0.100"
    };
    socket(entry)
}

fn socket(ip: &str) -> String {
    SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), 443).to_string()
}

fn clients() -> impl Iterator<Item = String> {
    let v4 = (50..58).map(|n| format!("10.0.0.{n}"));
    let v6 = (0x50..0x58).map(|n| format!("fd00::{n:x}"));
    let crossing = (0xc0..0xc4).map(|n| format!("fd00::{n:x}"));
    v4.chain(v6).chain(crossing)
}

fn with_prefix_length(address: impl AsRef<str>) -> String {
    let address = address.as_ref();
    format!("{address}/{}", if address.contains(':') { 64 } else { 24 })
}
