//! Reserving the addresses of all entry points before anything starts.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Problem;
use crate::config::static_file::EntryPoint;

/// An address that is ours: bound, not listening, so that the kernel gives it no connection. The workers' listening
/// sockets share it.
pub struct Reserved {
    /// As bound: with the port the kernel chose, where the configuration says 0.
    pub address: SocketAddr,
    _socket: Socket,
}

/// Binds the address of every entry point; all problems at once.
pub fn reserve(entry_points: &[EntryPoint]) -> Result<Vec<Reserved>, Vec<Problem>> {
    let mut reserved = Vec::new();
    let mut problems = Vec::new();
    for entry_point in entry_points {
        match bind(entry_point.address) {
            Ok(one) => reserved.push(one),
            Err(error) => problems.push(problem(entry_point, &error)),
        }
    }
    if problems.is_empty() {
        Ok(reserved)
    } else {
        Err(problems)
    }
}

fn bind(address: SocketAddr) -> io::Result<Reserved> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok(Reserved {
        address,
        _socket: socket,
    })
}

fn problem(entry_point: &EntryPoint, error: &io::Error) -> Problem {
    let address = entry_point.address;
    let (allowed, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "an address nobody listens on",
            format!(
                "stop what listens there (`ss -ltnp 'sport = :{}'` names it) or choose another",
                address.port()
            ),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "an address of this host",
            "give the address to an interface, or listen on all with \":port\"".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => (
            "a port this user may bind",
            "run as root, or allow it with CAP_NET_BIND_SERVICE".to_owned(),
        ),
        _ => ("an address that can be bound", "see the reason".to_owned()),
    };
    Problem::error(entry_point.origin.clone(), format!("{address} ({error})"))
        .at(format!("entryPoints.{}.address", entry_point.name))
        .allowed(allowed)
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback socket");
        let address = taken.local_addr().expect("bound");
        let error = bind(address).err().expect("taken without SO_REUSEPORT");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_reserved_address_gets_no_connection() {
        let reserved = bind("127.0.0.1:0".parse().expect("an address")).expect("free");
        let refused = std::net::TcpStream::connect(reserved.address).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
