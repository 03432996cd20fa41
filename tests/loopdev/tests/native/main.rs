//! Tests on the machine's own kernel, in `scripts/sandbox`: `scripts/test native`.

mod commands;
#[path = "../commands/typed.rs"]
mod typed;
mod plain;
mod rig;

#[path = "../images/mod.rs"]
mod images;

/// What images are made of here.
const BACKING: loopdev::Backing = loopdev::Backing::File;
/// What the tests need of the machine.
const PLACE: loopdev::Place = loopdev::Place::Native;
