//! Tests on the machine's own kernel, in `scripts/sandbox`: `scripts/test native`.

mod plain;
mod rig;
