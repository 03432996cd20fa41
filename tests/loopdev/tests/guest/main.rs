//! Tests with device-mapper and LVM, in `scripts/guest`: `scripts/test guest`.

mod engine_lvm;
mod plain;
mod thin;
