//! Hosts of bricks that cannot be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use crate::glusterd::reach;
use crate::volfile::Volfile;

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
            (host, thread::spawn(move || reach(&name)))
        })
        .collect();
    asked
        .into_iter()
        .filter_map(|(host, answer)| {
            let cause = answer.join().ok()?.err()?;
            Some((host, cause))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_bricks_are_asked() {
        let text = "volume a\n    type protocol/client\n    option remote-host nowhere.invalid\n\
                    end-volume\n\nvolume b\n    type protocol/client\n    option remote-port 1\n    \
                    option remote-host other.invalid\nend-volume\n";
        let found = away(&text.parse().unwrap());
        assert_eq!(found.keys().collect::<Vec<_>>(), ["nowhere.invalid"]);
    }
}
