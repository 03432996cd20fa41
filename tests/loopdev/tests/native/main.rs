//! Tests on the machine's own kernel, in `scripts/sandbox`: `scripts/test native`.

mod commands;
mod completions;
mod front;
mod interrupts;
mod io_engine;
mod layouts;
#[path = "../commands/manual.rs"]
mod manual;
mod many;
mod operations;
mod plain;
mod replica_merges;
mod rig;
#[path = "../commands/typed.rs"]
mod typed;

#[path = "../images/mod.rs"]
mod images;

/// What images are made of here.
const BACKING: loopdev::Backing = loopdev::Backing::File;
/// What the tests need of the machine.
const PLACE: loopdev::Place = loopdev::Place::Native;
