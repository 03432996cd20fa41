//! Tests in `scripts/guest` that take too long to be part of `scripts/test`: `scripts/soak guest-storm`.

// What several bricks are made of. Much of it, and of storms, is for native tests alone.
#[allow(dead_code)]
#[path = "../native/bricks.rs"]
mod bricks;
#[allow(dead_code)]
#[path = "../images"]
mod images {
    pub(crate) mod model;
    pub(crate) mod tools;
}
mod storm;
#[allow(dead_code)]
#[path = "../storms/mod.rs"]
mod storms;

/// What the tests need of the machine.
const PLACE: loopdev::Place = loopdev::Place::Guest;
