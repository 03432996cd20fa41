use glusterfs::{Dict, Errno, Loc, Stack};

use crate::{Brick, names, stub};

/// Gives a new directory times that all others are later than, where other bricks have the same: one that a
/// brick or heal makes where it is already elsewhere. Posix would take those of the next change there for it; of
/// what heal brings later it takes what is later; and EC heals no attributes of a directory where no two bricks
/// agree.
pub(crate) fn be_as_old_as_can_be(brick: &Brick, stack: &Stack, loc: Loc<'_>) -> Result<(), Errno> {
    if !brick.server.heals() || !brick.keeps_times_of_clients() {
        return Ok(());
    }
    let dict = Dict::new();
    dict.set(names::TIMES, &names::NO_TIMES)?;
    stub::set(stack, loc, dict)
}
