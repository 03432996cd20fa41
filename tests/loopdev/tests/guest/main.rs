//! Tests with device-mapper and LVM, in `scripts/guest`: `scripts/test guest`.

mod commands;
mod engine_lvm;
#[path = "../commands/typed.rs"]
mod typed;
mod plain;
mod thin;
