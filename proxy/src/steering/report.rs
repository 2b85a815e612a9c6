//! What `weir steer status` prints for people: the same as its JSON, in tables.

use std::fmt;

use super::status::{ServerStatus, Status};

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interfaces.is_empty() {
            return write!(
                out,
                "attached to no interface: steered connections are steered in user space"
            );
        }
        let new = if self.enabled {
            "steered in the NIC"
        } else {
            "left to user space (`weir steer on` changes it)"
        };
        write!(out, "new connections: {new}")?;
        for interface in &self.interfaces {
            write!(out, "\ninterface {}: {}", interface.name, interface.mode)?;
        }
        for listener in &self.listeners {
            write!(
                out,
                "\nentry point {}: {}",
                listener.entry_point, listener.address
            )?;
        }
        self.rules(out)?;
        self.pools(out)?;
        write!(out, "\n\npackets")?;
        for (name, count) in self.counters.iter().filter(|(_, count)| **count > 0) {
            write!(out, "\n  {name:<24} {count:>14}")?;
        }
        Ok(())
    }
}

impl Status {
    fn rules(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "\n\n{:<16} {:<28} {:<24} pool",
            "entry point", "source", "router"
        )?;
        for rule in &self.rules {
            let router = rule.router.as_deref().unwrap_or("(not steered)");
            let pool = rule.pool.as_deref().unwrap_or("-");
            let source = rule.prefix.to_string();
            write!(
                out,
                "\n{:<16} {source:<28} {router:<24} {pool}",
                rule.entry_point
            )?;
        }
        Ok(())
    }

    fn pools(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "\n\n{:<16} {:<28} {:>6} {:>11} {:>10} {:>14} {:>16}",
            "pool", "server", "share", "connections", "opened", "packets", "bytes"
        )?;
        let pooled = self
            .pools
            .iter()
            .map(|pool| (pool.name.as_str(), &pool.servers));
        for (name, servers) in pooled.chain([("(none any more)", &self.retired)]) {
            for server in servers {
                self::server(name, server, out)?;
            }
        }
        Ok(())
    }
}

fn server(pool: &str, server: &ServerStatus, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ServerStatus {
        share,
        packets,
        bytes,
        opened,
        connections,
        ..
    } = server;
    let (address, share) = (server.address.to_string(), share * 100.0);
    write!(
        out,
        "\n{pool:<16} {address:<28} {share:>5.1}% {connections:>11} {opened:>10} {packets:>14} {bytes:>16}"
    )
}
