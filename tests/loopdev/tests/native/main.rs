//! Tests on the machine's own kernel, in `scripts/sandbox`: `scripts/test native`.

// First, for its macro.
#[macro_use]
#[path = "../images/mod.rs"]
mod images;

mod bricks;
mod clients;
mod cluster;
mod cluster_life;
mod commands;
mod completions;
mod front;
mod heals;
mod hosts;
mod interrupts;
mod io_engine;
mod layouts;
#[path = "../commands/manual.rs"]
mod manual;
mod many;
mod multiplex;
mod new_replicas;
#[path = "../commands/old.rs"]
mod old;
mod old_brick;
mod operations;
mod options;
mod pjdfstest;
mod plain;
mod power;
mod programs;
mod quota;
mod rebalance;
mod replica_merges;
mod rig;
mod rights;
mod room;
mod storm;
#[path = "../storms/mod.rs"]
mod storms;
mod top;
#[path = "../commands/typed.rs"]
mod typed;
mod unserved;

/// What images are made of here.
const BACKING: loopdev::Backing = loopdev::Backing::File;
/// What the tests need of the machine.
const PLACE: loopdev::Place = loopdev::Place::Native;
