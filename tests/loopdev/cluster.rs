//! Several hosts with a trusted pool, each with a glusterd and a gluster-bdd.

use anyhow::Result;

use crate::node::Node;
use crate::rig::Rig;
use crate::wait::wait_for;

/// Hosts on a network of their own. `server1` and those that it has probed are one pool.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
}

impl Rig {
    /// Boots so many hosts, `server1` and so on; the first `pool` of them are one pool.
    pub fn cluster(&mut self, hosts: usize, pool: usize) -> Result<Cluster> {
        let names: Vec<String> = (1..=hosts).map(|n| format!("server{n}")).collect();
        self.network(&names)?;
        let mut nodes = Vec::new();
        for (number, name) in (1..).zip(&names) {
            let node = self.node(number, name)?;
            node.boot(self)?;
            nodes.push(node);
        }
        let cluster = Cluster { nodes };
        for node in &cluster.nodes[1..pool] {
            let probe = format!("peer probe {}", node.name());
            cluster.nodes[0].gluster(&probe)?.ok()?;
        }
        let first: Vec<usize> = (1..=pool).collect();
        cluster.joined(&first)?;
        Ok(cluster)
    }
}

impl Cluster {
    /// The host with that number, from one.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// Waits until these hosts, by their numbers, see each other in the pool.
    pub fn joined(&self, numbers: &[usize]) -> Result<()> {
        wait_for("the hosts to see each other", || {
            for number in numbers {
                let told = self.node(*number).gluster("peer status")?;
                let sees = told.stdout.matches("State: Peer in Cluster (Connected)");
                if sees.count() + 1 < numbers.len() {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Waits until a line of `gluster` is done by a host, however often glusterd refuses it: it does while
    /// another transaction runs, or while a host that was away is not back.
    pub fn done(&self, number: usize, line: &str) -> Result<()> {
        wait_for(&format!("gluster {line}"), || {
            Ok(self.node(number).gluster(line)?.code == 0)
        })
    }
}
