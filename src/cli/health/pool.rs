//! Settings of a pool.

use super::Found;
use crate::storage::Pool;

/// Nearly full counts from here on, in percent.
const NEARLY: f64 = 80.0;

pub(super) fn findings(pool: &Pool) -> Vec<Found> {
    let name = format!("{}/{}", pool.vg, pool.pool);
    let mut found = Vec::new();
    let mut mend = |kind, why: &str, words: &[&str]| {
        let cause = format!("pool {name} {why}");
        found.push(Found::mended_by(kind, cause, &[words, &[&name]].concat()));
    };
    if !pool.zeroing {
        mend(
            "zeroing_off",
            "does not zero new chunks, so that a new image shows old bytes",
            &["lvchange", "--zero", "y"],
        );
    }
    if pool.when_full != "error" {
        mend(
            "queue_when_full",
            "lets writers hang when it is full",
            &["lvchange", "--errorwhenfull", "y"],
        );
    }
    if pool.autoactivation {
        mend(
            "autoactivation",
            "is activated when the host starts",
            &["lvchange", "--setautoactivation", "n"],
        );
    }
    for (part, used, more) in [
        ("data", pool.data_percent, "+SIZE"),
        ("metadata", pool.metadata_percent, "--metadata +SIZE"),
    ] {
        if let Some(used) = used.filter(|used| *used >= NEARLY) {
            found.push(Found::new(
                "nearly_full",
                format!("the {part} of pool {name} is {used:.1}% full"),
                format!("run: gluster-bd pool extend {name} {more}"),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Cure;
    use super::*;

    fn good() -> Pool {
        Pool {
            vg: "vg0".to_owned(),
            pool: "pool".to_owned(),
            size: 1 << 30,
            metadata_size: 4 << 20,
            data_percent: Some(12.5),
            metadata_percent: None,
            chunk_size: 64 << 10,
            zeroing: true,
            when_full: "error".to_owned(),
            group_free: 0,
            autoactivation: false,
        }
    }

    #[test]
    fn a_good_pool_has_no_findings() {
        assert_eq!(findings(&good()), []);
    }

    #[test]
    fn each_fault_of_a_pool_is_found_with_its_cure() {
        let bad = Pool {
            zeroing: false,
            when_full: "queue".to_owned(),
            autoactivation: true,
            ..good()
        };
        let told: Vec<_> = findings(&bad)
            .into_iter()
            .map(|f| f.settle(false))
            .collect();
        let kinds: Vec<&str> = told.iter().map(|f| f.kind.as_str()).collect();
        assert_eq!(kinds, ["zeroing_off", "queue_when_full", "autoactivation"]);
        assert!(told.iter().all(|f| !f.advice && !f.repaired));
        assert!(
            told[0]
                .message
                .ends_with("; run: lvchange --zero y vg0/pool")
        );
        // How much more it gets is an admin's decision.
        let full = Pool {
            data_percent: Some(99.0),
            metadata_percent: Some(80.0),
            ..good()
        };
        let found = findings(&full);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|f| matches!(f.cure, Cure::Admin(_))));
    }
}
