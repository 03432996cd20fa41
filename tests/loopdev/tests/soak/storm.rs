//! A storm on volume groups, with one gluster-bdd for all of them.

use crate::storms::layout::REPLICATED;
use crate::storms::storm;

#[test]
fn on_groups() {
    storm("soak::storm::on_groups", REPLICATED);
}
