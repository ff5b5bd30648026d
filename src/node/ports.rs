//! Listening: on just the port that was asked for, or on the next free one above a preferred one.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::Error;
use crate::config::Port;

/// How many ports above a preferred one are tried.
const TRIES: u16 = 100;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens; a preferred port that another program holds is replaced, and that is announced.
pub(super) async fn listen(
    what: &'static str,
    ip: IpAddr,
    port: Port,
) -> Result<TcpListener, Error> {
    let first = port.number();
    let last = match port {
        Port::Exactly(_) => first,
        Port::Preferred(_) => first.saturating_add(TRIES),
    };
    for number in first..=last {
        let address = SocketAddr::new(ip, number);
        match bind(address) {
            Ok(listener) => {
                if number != first {
                    tracing::warn!("port {first} for {what} is taken; {number} is used instead");
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse && number < last => {}
            Err(error) => {
                return Err(Error::Listen {
                    what,
                    address,
                    error,
                });
            }
        }
    }
    let error = ErrorKind::AddrInUse.into();
    Err(Error::Listen {
        what,
        address: SocketAddr::new(ip, last),
        error,
    })
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // So that a node that was restarted need not wait for the old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_preferred_port_gives_way_and_an_exact_one_does_not() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let held = listen("test", ip, Port::Exactly(0)).await.unwrap();
        let taken = held.local_addr().unwrap().port();
        let other = listen("test", ip, Port::Preferred(taken)).await.unwrap();
        assert_ne!(other.local_addr().unwrap().port(), taken);
        let error = listen("test", ip, Port::Exactly(taken)).await.unwrap_err();
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
    }
}
