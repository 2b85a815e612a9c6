//! A [`Status`] for people: tables of text, a section for each thing the kernel holds.

use std::fmt::{self, Display, Formatter};

use super::{ServerStatus, Status};

impl Display for Status {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.interfaces.is_empty() {
            return write!(out, "XDP: not attached; steering happens in user space");
        }
        let switch = if self.enabled {
            "on"
        } else {
            "off (new connections go to user space)"
        };
        let attached: Vec<String> = self
            .interfaces
            .iter()
            .map(|interface| format!("{} ({})", interface.name, interface.mode))
            .collect();
        write!(
            out,
            "XDP: attached to {}; steering {switch}",
            attached.join(", ")
        )?;
        section(
            out,
            "Steered addresses",
            ["entry point", "address"],
            self.listeners
                .iter()
                .map(|listener| [listener.entry_point.clone(), listener.address.to_string()]),
        )?;
        section(
            out,
            "Rules (the longest prefix decides)",
            ["entry point", "source", "router", "pool"],
            self.rules.iter().map(|rule| {
                let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".into());
                [
                    rule.entry_point.clone(),
                    rule.prefix.to_string(),
                    or_none(&rule.router),
                    or_none(&rule.pool),
                ]
            }),
        )?;
        for pool in &self.pools {
            section(
                out,
                &format!("Pool {}", pool.name),
                SERVER,
                pool.servers.iter().map(server),
            )?;
        }
        section(
            out,
            "Servers in no pool any more",
            SERVER,
            self.retired.iter().map(server),
        )?;
        let counted = self.counters.iter().filter(|(_, count)| **count > 0);
        section(
            out,
            "Packets",
            ["outcome", "count"],
            counted.map(|(name, count)| [(*name).into(), count.to_string()]),
        )
    }
}

const SERVER: [&str; 7] = [
    "server",
    "next hop",
    "share",
    "connections",
    "opened",
    "packets",
    "bytes",
];

fn server(server: &ServerStatus) -> [String; 7] {
    [
        server.address.to_string(),
        server.next_hop.to_string(),
        format!("{:.1} %", server.share * 100.0),
        server.connections.to_string(),
        server.opened.to_string(),
        server.packets.to_string(),
        server.bytes.to_string(),
    ]
}

/// A title, a head and rows, each column as wide as its widest cell; nothing at all without rows.
fn section<const N: usize>(
    out: &mut Formatter<'_>,
    title: &str,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> fmt::Result {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    if lines.len() == 1 {
        return Ok(());
    }
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    write!(out, "\n\n{title}")?;
    for line in &lines {
        let cells = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        write!(
            out,
            "\n  {}",
            cells.collect::<Vec<_>>().join("  ").trim_end()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{InterfaceStatus, NextHop, PoolStatus, RuleStatus};
    use super::*;

    #[test]
    fn sections_are_aligned_and_empty_ones_left_out() {
        let server = ServerStatus {
            address: "10.0.0.11:443".parse().unwrap(),
            next_hop: NextHop::Known,
            share: 0.75,
            packets: 12,
            bytes: 3456,
            opened: 2,
            connections: 1,
        };
        let rule = |prefix: &str, router: Option<&str>| RuleStatus {
            entry_point: "web".into(),
            prefix: prefix.parse().unwrap(),
            router: router.map(Into::into),
            pool: router.map(|_| "p@file".into()),
        };
        let status = Status {
            enabled: true,
            interfaces: vec![InterfaceStatus {
                name: "eth1".into(),
                mode: "native",
            }],
            rules: vec![
                rule("192.0.2.0/24", Some("office@file")),
                rule("192.0.2.7/32", None),
            ],
            pools: vec![PoolStatus {
                name: "p@file".into(),
                servers: vec![server],
            }],
            counters: [("forward", 12), ("return", 0)].into(),
            ..Status::default()
        };
        let expected = "\
XDP: attached to eth1 (native); steering on

Rules (the longest prefix decides)
  entry point  source        router       pool
  web          192.0.2.0/24  office@file  p@file
  web          192.0.2.7/32  -            -

Pool p@file
  server         next hop  share   connections  opened  packets  bytes
  10.0.0.11:443  known     75.0 %  1            2       12       3456

Packets
  outcome  count
  forward  12";
        assert_eq!(status.to_string(), expected);
        assert_eq!(
            Status::default().to_string(),
            "XDP: not attached; steering happens in user space"
        );
    }
}
