//! Who extends pools.

use std::path::Path;

use bd_proto::{ConnectError, PoolInfo, Reply, Request};

use super::Found;
use crate::CliError;
use crate::server::{ask, out_of_turn};
use crate::storage::{Group, Pool, dmeventd};

pub(super) fn findings(
    socket: &Path,
    pools: &[Pool],
    groups: &[Group],
) -> Result<Vec<Found>, CliError> {
    let ours = |vg: &str| {
        let mut groups = groups.iter().filter(|group| group.vg == vg);
        groups.any(Group::holds_brick)
    };
    if !groups.iter().any(Group::holds_brick) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let cared: Vec<PoolInfo> = match ask(socket, &Request::Pools) {
        Ok(Reply::Pools(pools)) => pools,
        Ok(other) => return Err(out_of_turn(&other)),
        // Another finding.
        Err(CliError::Connect(ConnectError::Unreachable { .. })) => Vec::new(),
        Err(CliError::Connect(error)) => {
            let cause = format!("gluster-bdd is of another version: {error}");
            let cure = "install the same release of both and restart it";
            found.push(Found::new("version", cause, cure));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let dmeventd = dmeventd();
    for pool in pools.iter().filter(|pool| ours(&pool.vg)) {
        let care = cared
            .iter()
            .find(|care| care.vg.as_str() == pool.vg && care.pool.as_str() == pool.pool);
        let monitor = dmeventd.as_ref().and_then(|them| them.extends(pool));
        found.push(judge(pool, care, monitor));
    }
    Ok(found)
}

/// Who extends a pool, where dmeventd does at a percentage or not.
fn judge(pool: &Pool, care: Option<&PoolInfo>, dmeventd: Option<u64>) -> Found {
    let name = format!("{}/{}", pool.vg, pool.pool);
    let at = care.filter(|care| care.extend_at < 100 || care.metadata_extend_at < 100);
    match (at, dmeventd) {
        (Some(care), None) => Found::note(
            "extended_by",
            format!(
                "pool {name} is extended by gluster-bdd: its data at {}%, its metadata at {}%",
                care.extend_at, care.metadata_extend_at
            ),
        ),
        (None, Some(percent)) => Found::note(
            "extended_by",
            format!("pool {name} is extended by dmeventd, at {percent}%"),
        ),
        (Some(care), Some(percent)) => Found::new(
            "two_extenders",
            format!(
                "pool {name} is extended by gluster-bdd at {}% and by dmeventd at {percent}%",
                care.extend_at
            ),
            "let one of them do it: set activation/thin_pool_autoextend_threshold=100 in lvm.conf, \
             or extend_at and metadata_extend_at to 100 in /etc/gluster-bd/policy.toml",
        ),
        (None, None) => Found::note(
            "extended_by",
            format!(
                "nobody extends pool {name}: its brick is not served, or its policy says never"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use bd_model::Bytes;
    use bd_proto::PoolHealth;

    use super::*;

    #[test]
    fn one_extends_a_pool() {
        let pool = Pool {
            vg: "vg0".to_owned(),
            pool: "pool".to_owned(),
            size: 1 << 30,
            metadata_size: 4 << 20,
            data_percent: None,
            metadata_percent: None,
            chunk_size: 64 << 10,
            zeroing: true,
            when_full: "error".to_owned(),
            group_free: 0,
            autoactivation: false,
        };
        let care = |extend_at, metadata_extend_at| PoolInfo {
            vg: "vg0".parse().unwrap(),
            pool: "pool".parse().unwrap(),
            health: PoolHealth::Good,
            data_used: Bytes(0),
            data_size: Bytes(0),
            metadata_used: Bytes(0),
            metadata_size: Bytes(0),
            images: 0,
            provisioned: Bytes(0),
            group_size: Bytes(0),
            group_free: Bytes(0),
            extend_at,
            metadata_extend_at,
            data_growable: Bytes(0),
            metadata_growable: Bytes(0),
            full_in: None,
            metadata_full_in: None,
        };
        let tell = |care: Option<PoolInfo>, dmeventd| {
            let finding = judge(&pool, care.as_ref(), dmeventd).settle(true);
            (finding.advice, finding.message)
        };
        let (advice, text) = tell(Some(care(80, 70)), None);
        assert!(
            advice && text.contains("by gluster-bdd: its data at 80%"),
            "{text}"
        );
        let (advice, text) = tell(Some(care(100, 100)), Some(70));
        assert!(advice && text.contains("by dmeventd, at 70%"), "{text}");
        let (advice, text) = tell(Some(care(80, 100)), Some(70));
        assert!(!advice && text.contains("threshold=100"), "{text}");
        let (advice, text) = tell(None, None);
        assert!(advice && text.starts_with("nobody extends"), "{text}");
    }
}
