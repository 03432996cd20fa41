//! Kinds of volumes.

/// How the bricks of a volume belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(super) name: &'static str,
    /// Words for `gluster volume create`.
    pub(super) words: &'static [&'static str],
    pub(super) bricks: usize,
    /// Bricks that have the same names.
    pub(super) replicas: usize,
    /// Of what breaks by itself, that from which such a volume does not come back on stock bricks either.
    pub(super) spared: &'static [&'static str],
    /// What breaks instead, if `GBT_FAULTS` does not say it.
    pub(super) only: Option<&'static [&'static str]>,
}

impl Layout {
    /// A brick that has names only.
    pub(super) fn is_arbiter(&self, brick: usize) -> bool {
        self.words.contains(&"arbiter") && brick % self.replicas == 2
    }

    pub(super) fn is_dispersed(&self) -> bool {
        self.words.contains(&"disperse")
    }

    /// Its bricks with the same names have the same bytes.
    pub(super) fn has_same_bytes(&self) -> bool {
        self.replicas > 1 && !self.is_dispersed()
    }
}

pub(crate) const REPLICATED: Layout = Layout {
    name: "replicated",
    words: &["replica", "3"],
    bricks: 3,
    replicas: 3,
    spared: &[],
    only: None,
};

pub(crate) const WITH_AN_ARBITER: Layout = Layout {
    name: "with_an_arbiter",
    words: &["replica", "3", "arbiter", "1"],
    bricks: 3,
    replicas: 3,
    spared: &[],
    only: None,
};

pub(crate) const DISPERSED: Layout = Layout {
    name: "dispersed",
    words: &["disperse", "3", "redundancy", "1"],
    bricks: 3,
    replicas: 3,
    // A client may keep its lock for ever when a brick is killed: see docs/testing.md.
    spared: &["brick", "host"],
    only: None,
};

pub(crate) const DISTRIBUTED: Layout = Layout {
    name: "distributed",
    words: &[],
    bricks: 2,
    replicas: 1,
    spared: &[],
    only: None,
};

pub(crate) const BOTH: Layout = Layout {
    name: "distributed_and_replicated",
    words: &["replica", "3"],
    bricks: 6,
    replicas: 3,
    spared: &[],
    only: None,
};

/// Bricks come and go.
pub(crate) const GROWING: Layout = Layout {
    name: "growing",
    only: Some(&["grow", "shrink"]),
    ..DISTRIBUTED
};
