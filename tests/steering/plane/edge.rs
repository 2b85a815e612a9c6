//! An edge node to attach to, with pins of its own, and what its XDP program says to a packet.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, TestRun, TestRunOptions};
use tempfile::TempDir;
use weir::config::StaticConfig;
use weir::router::steered::{SourceExpr, SteeredRule, SteeredTable};
use weir::service::pool::{Pool, PoolTree};
use weir::steering::status::{NextHop, Status};
use weir::steering::{self, Plane};
use weir_common::map;
use weir_common::map::SCHEMA;
use xtask::daemon::poll;
use xtask::lab::{Node, Switch};

use crate::support::{DEADLINE, require_root};
use crate::xdp_packets::packet::{ACK, SYN, Segment};

pub fn pool(name: &str, servers: &[(&str, u32)]) -> Arc<Pool> {
    let servers = servers
        .iter()
        .map(|(addr, weight)| (addr.parse().unwrap(), *weight));
    Arc::new(Pool::new(name.into(), &PoolTree::Servers(servers.collect())).unwrap())
}

pub fn rule(router: &str, expr: SourceExpr, pool: &Arc<Pool>) -> SteeredRule {
    SteeredRule {
        router: router.into(),
        priority: 0,
        expr,
        pool: pool.clone(),
    }
}

pub fn table(rules: Vec<SteeredRule>) -> Arc<SteeredTable> {
    Arc::new(SteeredTable::compile(rules).unwrap())
}

/// A node at 10.0.0.100 and fd00::100 with one entry point, `web`, on port 443 of every address.
pub struct Edge {
    switch: Switch,
    node: Node,
    directory: TempDir,
    pins: PathBuf,
    settings: String,
}

impl Edge {
    /// `settings` go below `steering` of the static file. `None`, with the reason printed, where there is no root or
    /// no XDP object.
    pub fn new(settings: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !require_root("XDP in network namespaces") {
            return None;
        }
        if steering::OBJECT.is_none() {
            println!("skipped: needs the XDP object (cargo xtask build-ebpf)");
            return None;
        }
        let switch = Switch::create().expect("a switch");
        let node = switch
            .plug("edge", &["10.0.0.100/24", "fd00::100/64"])
            .expect("the edge node");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            switch,
            node,
            directory: tempfile::tempdir().expect("a scratch directory"),
            pins: PathBuf::from(format!(
                "/sys/fs/bpf/weir-test-{}-{number}",
                std::process::id()
            )),
            settings: settings.to_owned(),
        })
    }

    /// Nodes that answer for these addresses; they go when dropped.
    pub fn servers(&self, addresses: &[&str]) -> Vec<Node> {
        let ips = addresses
            .iter()
            .map(|addr| addr.parse::<SocketAddr>().unwrap().ip());
        let plug = |(n, ip): (usize, IpAddr)| {
            let length = if ip.is_ipv4() { 24 } else { 64 };
            self.switch
                .plug(&format!("server{n}"), &[&format!("{ip}/{length}")])
                .expect("a server node")
        };
        ips.enumerate().map(plug).collect()
    }

    pub fn device(&self) -> &str {
        self.node.device()
    }

    pub fn pins(&self) -> &Path {
        &self.pins
    }

    pub fn ip(&self, arguments: &[&str]) {
        self.node.namespace().ip(arguments).expect("ip");
    }

    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.node.within(work)
    }

    /// Runs a control thread in the edge's namespace.
    pub fn run<T: Send>(&self, work: impl AsyncFnOnce(&Self) -> T + Send) -> T {
        self.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(work(self))
        })
    }

    pub fn config(&self) -> StaticConfig {
        let (device, pins, settings) = (self.device(), self.pins.display(), &self.settings);
        let runtime_dir = self.directory.path().display();
        let text = format!(
            "entryPoints:\n  web:\n    address: :443\n    steering: {{interfaces: [{device}]}}\n\
             steering:\n  pinPath: {pins}\n  {settings}\nruntimeDir: {runtime_dir}\n"
        );
        let parsed = StaticConfig::parse(&self.directory.path().join("weir.yml"), &text);
        parsed.unwrap_or_else(|problems| panic!("{problems:?}")).0
    }

    pub async fn start(&self) -> Plane {
        let plane = Plane::start(&self.config())
            .await
            .expect("the configuration fits");
        assert!(plane.is_active(), "the kernel takes the program");
        plane
    }

    /// Lets the plane follow the network until `reached`.
    pub async fn follow(&self, plane: &mut Plane, what: &str, reached: impl Fn() -> bool) {
        let reach = async {
            while !reached() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let follow = async {
            loop {
                plane.follow().await;
                assert!(plane.is_active(), "detached by hand, not: {what}");
            }
        };
        tokio::select! {
            () = follow => {}
            result = tokio::time::timeout(DEADLINE, reach) => result.unwrap_or_else(|_| panic!("not in time: {what}")),
        }
    }

    /// Gives the plane these tables and waits until the program knows the way to every server: IPv6 neighbours answer
    /// late on an interface that has just come up.
    pub async fn steer(&self, plane: &mut Plane, tables: Vec<Arc<SteeredTable>>) {
        plane.steer(tables).await;
        let all_known = || {
            let pools = self.status().pools;
            pools
                .iter()
                .flat_map(|pool| &pool.servers)
                .all(|server| server.next_hop == NextHop::Known)
        };
        self.follow(plane, "the way to every server", all_known)
            .await;
    }

    pub fn status(&self) -> Status {
        steering::status(&self.pins, self.directory.path()).expect("status")
    }

    /// Whether the kernel runs an XDP program on the edge's device.
    pub fn has_xdp(&self) -> bool {
        let show = || {
            std::process::Command::new("ip")
                .args(["-o", "link", "show", self.device()])
                .output()
        };
        let shown = self.within(show).expect("ip link");
        String::from_utf8_lossy(&shown.stdout).contains("prog/xdp")
    }

    /// Whether the device soon has no XDP program: the kernel takes it off some time after its last link is closed.
    pub fn loses_xdp(&self) -> bool {
        poll(DEADLINE, || (!self.has_xdp()).then_some(())).is_some()
    }

    /// The product's program on the pinned maps.
    pub fn program(&self) -> Program {
        let object = steering::OBJECT.expect("checked when the edge was made");
        let directory = self.pins.join(format!("v{SCHEMA}"));
        let mut loader = EbpfLoader::new();
        for name in map::ALL {
            loader.map_pin_path(name, directory.join(name));
        }
        let mut ebpf = loader.load(object).expect("the object loads");
        let program: &mut Xdp = ebpf
            .program_mut(map::program::STEER)
            .unwrap()
            .try_into()
            .unwrap();
        program.load().expect("the kernel takes the program");
        Program(ebpf)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = steering::detach(&self.pins);
    }
}

/// What a packet meets.
pub struct Program(Ebpf);

impl Program {
    /// Where the program sends a new connection; `None` when it passes it to user space.
    pub fn server_of(&self, client: SocketAddr, entry: SocketAddr) -> Option<SocketAddr> {
        self.send(Segment::new(client, entry, SYN))
    }

    /// Where the program sends a packet in the midst of a connection.
    pub fn packet_of(&self, client: SocketAddr, entry: SocketAddr) -> Option<SocketAddr> {
        self.send(Segment::new(client, entry, ACK))
    }

    fn send(&self, segment: Segment) -> Option<SocketAddr> {
        const XDP_TX: u32 = 3;
        const XDP_REDIRECT: u32 = 4;
        let program: &Xdp = self
            .0
            .program(map::program::STEER)
            .unwrap()
            .try_into()
            .unwrap();
        let (frame, mut out) = (segment.frame(), vec![0; 4096]);
        let options = TestRunOptions {
            data_in: Some(&frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).expect("BPF_PROG_TEST_RUN");
        let sent = [XDP_TX, XDP_REDIRECT].contains(&result.return_value);
        sent.then(|| Segment::read(&out[..result.data_size_out as usize], 0).destination)
    }
}
