//! The hosts that trust each other.

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::stock::gluster;
use crate::CliError;

/// How long a host may take to join.
const PATIENCE: Duration = Duration::from_secs(20);
/// The state of one that has.
const JOINED: &str = "Peer in Cluster";

/// The other hosts of this one's pool.
#[derive(Debug)]
pub(super) struct Pool(Vec<Peer>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Peer {
    names: Vec<String>,
    state: String,
}

impl Peer {
    /// Whether it was probed a moment ago: that ends by itself.
    fn joins(&self) -> bool {
        let ends = [JOINED, "Peer Rejected", "Disconnected"];
        !ends.iter().any(|end| self.state.contains(end))
    }
}

impl Pool {
    /// Asks glusterd for it, until no host is on its way into it.
    pub(super) fn ask() -> Result<Pool, CliError> {
        let start = Instant::now();
        loop {
            let pool = Pool::read(&gluster(&["peer", "status"])?);
            if !pool.0.iter().any(Peer::joins) || start.elapsed() > PATIENCE {
                return Ok(pool);
            }
            sleep(Duration::from_millis(200));
        }
    }

    fn read(text: &str) -> Pool {
        let mut peers: Vec<Peer> = Vec::new();
        let mut names = false;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("Hostname:") {
                peers.push(Peer::default());
                names = true;
                if let Some(peer) = peers.last_mut() {
                    peer.names.push(name.trim().to_owned());
                }
                continue;
            }
            let Some(peer) = peers.last_mut() else {
                continue;
            };
            if let Some(state) = line.strip_prefix("State:") {
                state.trim().clone_into(&mut peer.state);
                names = false;
            } else if line == "Other names:" {
                names = true;
            } else if names && !line.is_empty() && !line.starts_with("Uuid:") {
                peer.names.push(line.to_owned());
            }
        }
        Pool(peers)
    }

    /// Fails unless the host is of the pool, and answers.
    pub(super) fn require(&self, host: &str) -> Result<(), CliError> {
        let wanted = addresses(host);
        let is_it = |name: &String| {
            name.eq_ignore_ascii_case(host)
                || addresses(name).intersection(&wanted).next().is_some()
        };
        match self.0.iter().find(|peer| peer.names.iter().any(is_it)) {
            None => Err(CliError::Refused(format!(
                "host {host} is not in the pool of this one; run: gluster peer probe {host}"
            ))),
            Some(peer) if !peer.state.contains(JOINED) || peer.state.contains("Disconnected") => {
                Err(CliError::Refused(format!(
                    "host {host} cannot take part, its state is {:?}; see that its glusterd runs: gluster \
                     peer status",
                    peer.state
                )))
            }
            Some(_) => Ok(()),
        }
    }
}

/// Whether an address of that name is one of this host.
pub(crate) fn is_local(host: &str) -> bool {
    let mut addresses = addresses(host).into_iter();
    addresses.any(|address| UdpSocket::bind((address, 0)).is_ok())
}

fn addresses(host: &str) -> BTreeSet<IpAddr> {
    let found = (host, 0).to_socket_addrs().into_iter().flatten();
    found.map(|address| address.ip()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_host_are_local() {
        assert!(is_local("127.0.0.1"));
        assert!(!is_local("203.0.113.1"));
    }

    #[test]
    fn a_host_is_known_by_each_of_its_names() {
        let text = "Number of Peers: 2\n\nHostname: 192.0.2.2\nUuid: 6d4efa98\n\
                    State: Peer in Cluster (Connected)\nOther names:\nb.invalid\n\n\
                    Hostname: c.invalid\nUuid: 5edf86ad\nState: Peer in Cluster (Disconnected)\n";
        let pool = Pool::read(text);
        assert_eq!(pool.0[0].names, ["192.0.2.2", "b.invalid"]);
        assert!(pool.require("B.invalid").is_ok());
        assert!(pool.require("192.0.2.2").is_ok());
        let said = |host| pool.require(host).unwrap_err().to_string();
        assert!(said("c.invalid").contains("Disconnected"));
        assert!(said("d.invalid").ends_with("run: gluster peer probe d.invalid"));
        assert!(Pool::read("Number of Peers: 0\n").0.is_empty());
        assert!(!pool.0.iter().any(Peer::joins));
        let joining = text.replace("Peer in Cluster (Conn", "Accepted peer request (Conn");
        assert!(Pool::read(&joining).0.iter().any(Peer::joins));
    }
}
