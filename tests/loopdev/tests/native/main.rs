//! Tests on the machine's own kernel, in `scripts/sandbox`: `scripts/test native`.

mod commands;
#[path = "../commands/typed.rs"]
mod typed;
mod plain;
mod rig;
