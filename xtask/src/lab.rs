//! A small network in namespaces: nodes on one switch, each with a veth of its own. What veth needs to behave like a
//! wire under XDP is done here, once:
//!
//! - senders compute full checksums (`tx off`): on a real wire every checksum is complete, on a veth it is left to a
//!   NIC that is not there, and native XDP cannot see that;
//! - the switch's end of a node that sends by XDP_TX carries an XDP program too (see [`Node::hear_xdp`]): without one
//!   the kernel drops those frames without a word.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::netns::{Namespace, join, tool};

/// Longest wait for a neighbour to answer.
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(2);

/// A bridge in a namespace of its own.
#[derive(Debug)]
pub struct Switch {
    namespace: Namespace,
}

impl Switch {
    /// Makes a switch without nodes. Needs root.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn create() -> io::Result<Self> {
        let namespace = Namespace::create("switch")?;
        namespace.ip(&["link", "add", "switch", "type", "bridge"])?;
        namespace.ip(&["link", "set", "switch", "up"])?;
        Ok(Self { namespace })
    }

    /// Plugs a new node in, with these addresses (with prefix length) on its device `<name>0`; `name` has at most 8
    /// letters.
    ///
    /// # Errors
    /// What `ip` or `ethtool` say.
    pub fn plug(&self, name: &str, addresses: &[&str]) -> io::Result<Node> {
        let namespace = Namespace::create(name)?;
        let node = Node {
            device: format!("{name}0"),
            port: format!("sw-{name}"),
            namespace,
            switch: self.namespace.clone(),
        };
        join(
            (&node.namespace, &node.device),
            (&self.namespace, &node.port),
        )?;
        self.namespace
            .ip(&["link", "set", &node.port, "master", "switch"])?;
        node.offload("tx", "off")?;
        for address in addresses {
            node.add_address(address)?;
        }
        Ok(node)
    }
}

/// A namespace plugged into a switch; it goes when dropped.
#[derive(Debug)]
pub struct Node {
    namespace: Namespace,
    device: String,
    /// The switch's end of the cable.
    port: String,
    switch: Namespace,
}

impl Node {
    /// Its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its network device.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Runs `work` on a thread inside its namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.within(work)
    }

    /// Adds an address with its prefix length, usable at once (no duplicate address detection).
    ///
    /// # Errors
    /// What `ip` says.
    pub fn add_address(&self, address: &str) -> io::Result<()> {
        let arguments = ["address", "add", address, "dev", &self.device];
        let nodad: &[&str] = if address.contains(':') {
            &["nodad"]
        } else {
            &[]
        };
        self.namespace.ip(&[&arguments[..], nodad].concat())
    }

    /// Switches an offload of its device on or off, as `ethtool -K` does.
    ///
    /// # Errors
    /// What `ethtool` says.
    pub fn offload(&self, feature: &str, state: &str) -> io::Result<()> {
        self.within(|| tool("ethtool", &["-K", &self.device, feature, state]))
    }

    /// Makes the node one that steers: it may look up routes for other hosts' packets (`bpf_fib_lookup` asks for
    /// forwarding).
    ///
    /// # Errors
    /// When a sysctl cannot be set.
    pub fn steers(&self) -> io::Result<()> {
        self.namespace.sysctl("net/ipv4/ip_forward", "1")?;
        self.namespace.sysctl("net/ipv6/conf/all/forwarding", "1")
    }

    /// Loads an XDP program that passes everything on the switch's end of its cable, so that frames which this node
    /// sends by XDP_TX arrive.
    ///
    /// # Errors
    /// When the kernel refuses the object.
    pub fn hear_xdp(&self, pass: &Path) -> io::Result<()> {
        let object = pass.to_string_lossy();
        self.switch.ip(&[
            "link", "set", "dev", &self.port, "xdp", "object", &object, "section", "xdp",
        ])
    }

    /// Makes the kernel learn who has these addresses, by a connection attempt: XDP cannot ask.
    ///
    /// # Errors
    /// When an address does not answer at all.
    pub fn greet(&self, addresses: &[IpAddr]) -> io::Result<()> {
        let greet = |address: &IpAddr| {
            // Nobody listens on the discard port: the refusal is the answer.
            let target = SocketAddr::new(*address, 9);
            match TcpStream::connect_timeout(&target, NEIGHBOUR_TIMEOUT) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(
                    io::Error::other(format!("{address} does not answer: {error}")),
                ),
                _ => Ok(()),
            }
        };
        self.within(|| addresses.iter().try_for_each(greet))
    }
}
