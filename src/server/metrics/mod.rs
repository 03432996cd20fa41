//! What monitoring can see: pools, bricks, and how long LVM's commands take.
//!
//! The text is OpenMetrics. There are only gauges and histograms, so that it is Prometheus' own
//! text format as well. Gauges are read when they are asked for: nothing of a pool that has gone
//! lingers.

mod certificate;
mod listener;
mod measured;
mod token;

use std::fmt::Write;

use bd_proto::{PoolHealth, PoolInfo};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::service::{BrickFigures, Service};
pub use certificate::{Certificate, CertificateError};
pub use listener::{Listener, ListenerError, Served};
pub use measured::Commands;
pub(crate) use measured::Measured;
pub use token::{Token, TokenError};

/// The media type of [`text`].
pub(crate) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    vg: String,
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHealth {
    vg: String,
    pool: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGroup {
    vg: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBrick {
    brick: String,
    volume: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVersion {
    version: &'static str,
}

/// A family of gauges in bytes or plain numbers.
type Gauges<L> = Family<L, Gauge<u64, std::sync::atomic::AtomicU64>>;

fn gauges<L>(registry: &mut Registry, name: &str, help: &str, unit: Option<Unit>) -> Gauges<L>
where
    L: Clone + std::fmt::Debug + std::hash::Hash + Eq + EncodeLabelSet + Send + Sync + 'static,
{
    let family = Gauges::<L>::default();
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, family.clone()),
        None => registry.register(name, help, family.clone()),
    }
    family
}

/// All there is to see now.
pub(crate) fn text(service: &Service, commands: &Commands) -> String {
    let mut registry = Registry::with_prefix("gluster_bd");
    show_version(&mut registry);
    let pools = service.pools();
    show_readable(&mut registry, pools.is_ok());
    show_pools(&mut registry, &pools.unwrap_or_default());
    show_bricks(&mut registry, &service.figures());
    commands.register(&mut registry);
    let mut text = String::new();
    if text::encode(&mut text, &registry).is_err() {
        // Only a writer that fails makes it fail, and a text does not.
        let _ = writeln!(text, "# EOF");
    }
    text
}

fn show_version(registry: &mut Registry) {
    let version = env!("CARGO_PKG_VERSION");
    gauges(registry, "build_info", "The version of gluster-bdd", None)
        .get_or_create(&OfVersion { version })
        .set(1);
}

fn show_readable(registry: &mut Registry, readable: bool) {
    let failed = Gauge::<u64, std::sync::atomic::AtomicU64>::default();
    failed.set(u64::from(!readable));
    let help = "Whether the state of a pool could not be read";
    registry.register("pools_unreadable", help, failed);
}

fn show_pools(registry: &mut Registry, pools: &[PoolInfo]) {
    let mut bytes = |name, help| gauges::<OfPool>(registry, name, help, Some(Unit::Bytes));
    let size = bytes("pool_data_size", "Data that the pool can hold");
    let used = bytes("pool_data_used", "Data in use");
    let metadata_size = bytes("pool_metadata_size", "Metadata that the pool can hold");
    let metadata_used = bytes("pool_metadata_used", "Metadata in use");
    let provisioned = bytes("pool_provisioned", "Sizes of the pool's images together");
    let images = gauges::<OfPool>(registry, "pool_images", "Thin volumes of the pool", None);
    let mut percent = |name, help| gauges::<OfPool>(registry, name, help, None);
    let at = percent(
        "pool_extend_at_percent",
        "Data in use from which on the pool is extended; 100 means never",
    );
    let help = "Whether the pool is in this state: good, full, read_only or failed";
    let health = gauges::<OfHealth>(registry, "pool_state", help, None);
    let mut seconds = |name, help| gauges::<OfPool>(registry, name, help, Some(Unit::Seconds));
    let full_in = seconds(
        "pool_data_full_in",
        "Time until the data and what may be added to them are full, at the present rate",
    );
    let metadata_full_in = seconds("pool_metadata_full_in", "The same for the metadata");
    let mut group = |name, help| gauges::<OfGroup>(registry, name, help, Some(Unit::Bytes));
    let group_size = group("vg_size", "All of the volume group");
    let group_free = group("vg_free", "What of the volume group belongs to no volume");
    for pool in pools {
        let labels = OfPool {
            vg: pool.vg.to_string(),
            pool: pool.pool.to_string(),
        };
        for (family, value) in [
            (&size, pool.data_size.0),
            (&used, pool.data_used.0),
            (&metadata_size, pool.metadata_size.0),
            (&metadata_used, pool.metadata_used.0),
            (&provisioned, pool.provisioned.0),
            (&images, pool.images),
            (&at, pool.extend_at),
        ] {
            family.get_or_create(&labels).set(value);
        }
        for (family, value) in [
            (&full_in, pool.full_in),
            (&metadata_full_in, pool.metadata_full_in),
        ] {
            if let Some(value) = value {
                family.get_or_create(&labels).set(value);
            }
        }
        for (state, name) in [
            (PoolHealth::Good, "good"),
            (PoolHealth::Full, "full"),
            (PoolHealth::ReadOnly, "read_only"),
            (PoolHealth::Failed, "failed"),
        ] {
            let OfPool { vg, pool: name_of } = labels.clone();
            let labels = OfHealth {
                vg,
                pool: name_of,
                state: name,
            };
            let here = u64::from(pool.health == state);
            health.get_or_create(&labels).set(here);
        }
        let vg = OfGroup { vg: labels.vg };
        group_size.get_or_create(&vg).set(pool.group_size.0);
        group_free.get_or_create(&vg).set(pool.group_free.0);
    }
}

fn show_bricks(registry: &mut Registry, bricks: &[BrickFigures]) {
    let mut bytes = |name, help| gauges::<OfBrick>(registry, name, help, Some(Unit::Bytes));
    let size = bytes(
        "brick_size",
        "Space for images, of the pool, group or store",
    );
    let free = bytes("brick_free", "Free space for images");
    let names_size = bytes(
        "brick_names_size",
        "All of the file system that holds the names of images, and plain files",
    );
    let names_free = bytes("brick_names_free", "What is free of that");
    let images = gauges::<OfBrick>(registry, "brick_images", "Images of the brick", None);
    for brick in bricks {
        let labels = OfBrick {
            brick: brick.dir.display().to_string(),
            volume: brick.volume.map(|id| id.to_string()).unwrap_or_default(),
        };
        if let Some(space) = brick.space {
            size.get_or_create(&labels).set(space.total.0);
            free.get_or_create(&labels).set(space.free.0);
        }
        if let Some(names) = brick.names {
            names_size.get_or_create(&labels).set(names.total.0);
            names_free.get_or_create(&labels).set(names.free.0);
        }
        if let Some(count) = brick.images {
            images.get_or_create(&labels).set(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bd_model::Bytes;

    use super::*;

    fn pool() -> PoolInfo {
        PoolInfo {
            vg: "vg0".parse().unwrap(),
            pool: "pool".parse().unwrap(),
            health: PoolHealth::Full,
            data_used: Bytes(1 << 20),
            data_size: Bytes(2 << 20),
            metadata_used: Bytes(3),
            metadata_size: Bytes(4),
            images: 5,
            provisioned: Bytes(6),
            group_size: Bytes(7),
            group_free: Bytes(8),
            extend_at: 80,
            metadata_extend_at: 70,
            data_growable: Bytes(9),
            metadata_growable: Bytes(10),
            full_in: Some(3600),
            metadata_full_in: None,
        }
    }

    #[test]
    fn a_pool_is_shown_in_base_units() {
        let mut registry = Registry::with_prefix("gluster_bd");
        show_pools(&mut registry, &[pool()]);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        for line in [
            "gluster_bd_pool_data_used_bytes{vg=\"vg0\",pool=\"pool\"} 1048576",
            "gluster_bd_pool_metadata_size_bytes{vg=\"vg0\",pool=\"pool\"} 4",
            "gluster_bd_pool_images{vg=\"vg0\",pool=\"pool\"} 5",
            "gluster_bd_pool_state{vg=\"vg0\",pool=\"pool\",state=\"full\"} 1",
            "gluster_bd_pool_state{vg=\"vg0\",pool=\"pool\",state=\"good\"} 0",
            "gluster_bd_vg_free_bytes{vg=\"vg0\"} 8",
            "gluster_bd_pool_data_full_in_seconds{vg=\"vg0\",pool=\"pool\"} 3600",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }

    /// The names of metrics in a text.
    fn names(text: &str) -> BTreeSet<&str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        text.split(|c| !is_part(c))
            .filter(|word| word.starts_with("gluster_bd_"))
            .collect()
    }

    #[test]
    fn alerts_and_dashboard_name_metrics_that_there_are() {
        let mut registry = Registry::with_prefix("gluster_bd");
        show_version(&mut registry);
        show_readable(&mut registry, true);
        let mut pool = pool();
        pool.metadata_full_in = Some(1);
        show_pools(&mut registry, &[pool]);
        let brick = BrickFigures {
            dir: "/srv/b1".into(),
            volume: None,
            space: Some(bd_proto::Space {
                total: Bytes(2),
                free: Bytes(1),
                unclaimed: Bytes(0),
            }),
            names: bd_bricks::Room::of(std::path::Path::new("/")),
            images: Some(1),
        };
        show_bricks(&mut registry, &[brick]);
        let commands = Commands::default();
        commands.try_one();
        commands.register(&mut registry);
        let mut text = String::new();
        text::encode(&mut text, &registry).unwrap();
        let there = names(&text);
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for file in [
            "packaging/prometheus/gluster-bd.rules.yml",
            "packaging/prometheus/gluster-bd.test.yml",
            "packaging/grafana/gluster-bd.json",
        ] {
            let named = std::fs::read_to_string(root.join(file)).unwrap();
            let named = names(&named);
            assert!(named.len() > 4, "{file}: {named:?}");
            assert!(named.is_subset(&there), "{file}: {:?}", &named - &there);
        }
        // And all of them are documented.
        let manual = std::fs::read_to_string(root.join("docs/server.md")).unwrap();
        for name in there {
            let name = name.trim_end_matches("_bucket").trim_end_matches("_count");
            let name = name
                .trim_end_matches("_sum")
                .trim_start_matches("gluster_bd");
            let short = name.split_once('_').map_or(name, |(_, rest)| rest);
            let tail = short.split_once('_').map_or(short, |(_, rest)| rest);
            assert!(manual.contains(tail), "docs/server.md does not name {name}");
        }
    }
}
