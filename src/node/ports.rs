//! Listening: on just the port that was asked for, or on the next free one above a preferred one.
//! The cluster listens on one number for TCP and UDP.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

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
    first_free(what, ip, port, bind)
}

/// Listens for connections, and for datagrams on the same number.
pub(super) async fn listen_both(
    what: &'static str,
    ip: IpAddr,
    port: Port,
) -> Result<(TcpListener, UdpSocket), Error> {
    /// A number that the system chose for one of them may be taken for the other.
    const CHOICES: usize = 20;
    let both = |address: SocketAddr| {
        let listener = bind(address)?;
        let datagrams = UdpSocket::bind(listener.local_addr()?)?;
        Ok((listener, datagrams))
    };
    let mut listened = first_free(what, ip, port, both);
    for _ in 1..CHOICES {
        let taken = |error: &Error| matches!(error, Error::Listen { error, .. } if error.kind() == ErrorKind::AddrInUse);
        if port != Port::Exactly(0) || !listened.as_ref().is_err_and(taken) {
            break;
        }
        listened = first_free(what, ip, port, both);
    }
    listened
}

fn first_free<T>(
    what: &'static str,
    ip: IpAddr,
    port: Port,
    bind: impl Fn(SocketAddr) -> std::io::Result<T>,
) -> Result<T, Error> {
    let first = port.number();
    let last = match port {
        Port::Exactly(_) => first,
        Port::Preferred(_) => first.saturating_add(TRIES),
    };
    for number in first..=last {
        let address = SocketAddr::new(ip, number);
        match bind(address) {
            Ok(bound) => {
                if number != first {
                    tracing::warn!("port {first} for {what} is taken; {number} is used instead");
                }
                return Ok(bound);
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

    #[tokio::test]
    async fn the_cluster_takes_a_number_that_is_free_for_both() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (tcp, udp) = listen_both("test", ip, Port::Exactly(0)).await.unwrap();
        let taken = udp.local_addr().unwrap();
        assert_eq!(tcp.local_addr().unwrap(), taken);
        // Only its UDP half is held by another program.
        drop(tcp);
        let exact = listen_both("test", ip, Port::Exactly(taken.port())).await;
        assert!(exact.is_err());
        let other = listen_both("test", ip, Port::Preferred(taken.port())).await;
        assert_ne!(other.unwrap().1.local_addr().unwrap(), taken);
    }
}
