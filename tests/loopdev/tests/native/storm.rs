//! Storms on volumes with the file engine, whose bricks have a gluster-bdd each.

use crate::storms::layout::{BOTH, DISPERSED, DISTRIBUTED, GROWING, REPLICATED, WITH_AN_ARBITER};
use crate::storms::storm;

#[test]
fn replicated() {
    storm("native::storm::replicated", REPLICATED);
}

#[test]
fn with_an_arbiter() {
    storm("native::storm::with_an_arbiter", WITH_AN_ARBITER);
}

#[test]
fn dispersed() {
    storm("native::storm::dispersed", DISPERSED);
}

#[test]
fn distributed() {
    storm("native::storm::distributed", DISTRIBUTED);
}

#[test]
fn distributed_and_replicated() {
    storm("native::storm::distributed_and_replicated", BOTH);
}

#[test]
fn growing() {
    storm("native::storm::growing", GROWING);
}
