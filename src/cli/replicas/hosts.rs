//! Hosts of bricks that cannot be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use crate::volfile::Volfile;

/// Where glusterd tells clients the ports of bricks.
const PORT: u16 = 24007;
/// How long a host may take to answer. libgfapi would wait for the kernel: more than a minute.
const LIMIT: Duration = Duration::from_secs(5);

/// The hosts of a volume's bricks whose glusterd does not answer, each with the cause. All are asked at
/// once.
pub(super) fn away(volfile: &Volfile) -> BTreeMap<String, String> {
    let blocks = volfile.blocks.iter();
    let hosts: BTreeSet<String> = blocks
        // A port of its own is one that glusterd is not asked for.
        .filter(|block| block.kind == "protocol/client" && block.option("remote-port").is_none())
        .filter_map(|block| block.option("remote-host").map(str::to_owned))
        .collect();
    let asked: Vec<_> = hosts
        .into_iter()
        .map(|host| {
            let name = host.clone();
            (host, thread::spawn(move || reach(&name, PORT)))
        })
        .collect();
    asked
        .into_iter()
        .filter_map(|(host, answer)| {
            let error = answer.join().ok()?.err()?;
            Some((host, cause(&error)))
        })
        .collect()
}

/// Connects to one of the addresses of a host.
fn reach(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "its glusterd does not run".to_owned(),
        io::ErrorKind::TimedOut => format!("no answer within {} s", LIMIT.as_secs()),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_nobody_has_is_refused() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        assert!(reach("127.0.0.1", port).is_ok());
        drop(free);
        let error = reach("127.0.0.1", port).unwrap_err();
        assert_eq!(cause(&error), "its glusterd does not run");
    }

    #[test]
    fn only_hosts_of_bricks_are_asked() {
        let text = "volume a\n    type protocol/client\n    option remote-host nowhere.invalid\n\
                    end-volume\n\nvolume b\n    type protocol/client\n    option remote-port 1\n    \
                    option remote-host other.invalid\nend-volume\n";
        let found = away(&text.parse().unwrap());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["nowhere.invalid"]);
    }
}
