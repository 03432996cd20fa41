//! Tests on the machine's own kernel, in `scripts/sandbox`: `scripts/test native`.

mod commands;
#[path = "../commands/images.rs"]
mod images;
mod plain;
mod rig;
