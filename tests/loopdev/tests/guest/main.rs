//! Tests with device-mapper and LVM, in `scripts/guest`: `scripts/test guest`.

mod commands;
mod damage;
mod engine_lvm;
mod evacuation;
mod heals;
mod hydration;
#[path = "../images/mod.rs"]
mod images;
mod machine;
#[path = "../commands/manual.rs"]
mod manual;
#[path = "../commands/old.rs"]
mod old;
mod old_brick;
mod plain;
mod pool_care;
mod power;
mod refuse;
mod thick;
mod thin;
#[path = "../commands/typed.rs"]
mod typed;

/// What images are made of here.
const BACKING: loopdev::Backing = loopdev::Backing::Thin;
/// What the tests need of the machine.
const PLACE: loopdev::Place = loopdev::Place::Guest;
mod zeroing;
