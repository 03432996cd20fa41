//! Tests with device-mapper and LVM, in `scripts/guest`: `scripts/test guest`.

mod plain;
mod thin;
