//! Asking a running server whether it works.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server that listens on `bind`.
///
/// # Errors
///
/// When it does not answer, or says that it does not work.
pub(crate) fn ask(bind: &str) -> anyhow::Result<()> {
    let mut addresses = bind
        .to_socket_addrs()
        .with_context(|| format!("{bind} is no address"))?;
    let address = reachable(addresses.next().with_context(|| format!("{bind} is no address"))?);
    let status = status_line(address).with_context(|| format!("the server on {address} does not answer"))?;
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => bail!(
            "the server on {address} says that it does not work: {}",
            status.trim_end()
        ),
    }
}

/// Where a server is reached that listens everywhere.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
