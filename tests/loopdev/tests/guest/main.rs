//! Tests with device-mapper and LVM, in `scripts/guest`: `scripts/test guest`.

mod commands;
mod engine_lvm;
#[path = "../commands/images.rs"]
mod images;
mod plain;
mod thin;
