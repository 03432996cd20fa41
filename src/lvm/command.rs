use bd_model::{Bytes, Extents, LvName};

use crate::{LvmUuid, PvName, Tag};

/// One change to a VG or LV, done by one LVM command.
///
/// New LVs are active when the change is done, and are not activated when the host starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a thin LV.
    CreateThin {
        /// Its name.
        name: LvName,
        /// The pool.
        pool: LvName,
        /// Its size; LVM rounds up to whole extents.
        size: Bytes,
        /// Its tags.
        tags: Vec<Tag>,
    },
    /// Makes a linear LV, whose bytes are those which its extents hold already.
    CreateThick {
        /// Its name.
        name: LvName,
        /// Its size.
        extents: Extents,
        /// Its tags.
        tags: Vec<Tag>,
    },
    /// Makes a thin snapshot of a thin LV.
    SnapshotThin {
        /// Its name.
        name: LvName,
        /// The LV it is taken of.
        origin: LvName,
        /// Its tags.
        tags: Vec<Tag>,
    },
    /// Makes a copy-on-write snapshot of a linear LV.
    SnapshotCow {
        /// Its name.
        name: LvName,
        /// The LV it is taken of.
        origin: LvName,
        /// Size of the store of changed chunks.
        extents: Extents,
        /// Its tags.
        tags: Vec<Tag>,
    },
    /// Grows an LV.
    Extend {
        /// The LV.
        name: LvName,
        /// Its new size.
        extents: Extents,
    },
    /// Shrinks an LV; what was behind its new end is gone.
    Reduce {
        /// The LV.
        name: LvName,
        /// Its new size.
        extents: Extents,
    },
    /// Renames an LV.
    Rename {
        /// Its name.
        from: LvName,
        /// Its new name.
        to: LvName,
    },
    /// Removes the LVs of these identities, whatever their names, but for those that have
    /// copy-on-write snapshots.
    Remove {
        /// The LVs; one at least.
        uuids: Vec<LvmUuid>,
    },
    /// Activates an LV if it still has this identity.
    Activate {
        /// Its name.
        name: LvName,
        /// The LV.
        uuid: LvmUuid,
    },
    /// Deactivates the LVs of these identities, whatever their names. Those that are in use stay
    /// active, and it fails then.
    Deactivate {
        /// The LVs; one at least.
        uuids: Vec<LvmUuid>,
    },
    /// Changes tags of an LV if it still has this identity.
    Retag {
        /// Its name.
        name: LvName,
        /// The LV.
        uuid: LvmUuid,
        /// Tags to add.
        add: Vec<Tag>,
        /// Tags to take away.
        del: Vec<Tag>,
    },
    /// Changes tags of the VG.
    RetagVg {
        /// Tags to add.
        add: Vec<Tag>,
        /// Tags to take away.
        del: Vec<Tag>,
    },
    /// Activates a thin pool.
    ActivatePool {
        /// The pool.
        pool: LvName,
    },
    /// Gives a thin pool more extents for data.
    ExtendPool {
        /// The pool.
        pool: LvName,
        /// How many more.
        by: Extents,
    },
    /// Gives a thin pool more metadata; the spare copy grows with them where there is room.
    ExtendPoolMetadata {
        /// The pool.
        pool: LvName,
        /// How much more; LVM rounds up to whole extents.
        by: Bytes,
    },
    /// Deactivates the parts of a thin pool that is not active itself. A command that was killed
    /// in the middle of an activation leaves them, and LVM then refuses to activate the pool.
    DeactivatePoolParts {
        /// The pool.
        pool: LvName,
    },
    /// Loads the tables of all active LVs again; suspended ones go on.
    RefreshVg,
    /// Moves extents of a physical volume to others of its VG, and waits for that. What uses them
    /// goes on. A move that was cut short before is finished instead.
    Move {
        /// The physical volume.
        pv: PvName,
        /// The first extent.
        first: u64,
        /// The last extent.
        last: u64,
    },
    /// Takes back what a move of extents has not moved yet, and ends it. Nothing is done if no
    /// move of that physical volume is under way.
    AbortMove {
        /// The physical volume.
        pv: PvName,
    },
    /// Lets new LVs take extents of a physical volume, or not.
    Allocate {
        /// The physical volume.
        pv: PvName,
        /// Whether they may.
        allow: bool,
    },
    /// Lets writes to a full thin pool fail at once instead of waiting for space.
    ErrorWhenFull {
        /// The pool.
        pool: LvName,
    },
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Changed,
    /// No LV of the given identity was there under the given name, and nothing was done. Of several
    /// that were to be removed some may be gone.
    NotThere,
}

impl Command {
    /// Whether it writes the VG's metadata, and not only makes LVs active or inactive.
    pub fn writes_metadata(&self) -> bool {
        !matches!(
            self,
            Command::Activate { .. }
                | Command::ActivatePool { .. }
                | Command::Deactivate { .. }
                | Command::DeactivatePoolParts { .. }
                | Command::RefreshVg
        )
    }

    /// Whether it suspends images and pools alone, and no other LV of the host.
    pub(crate) fn is_light(&self) -> bool {
        !matches!(
            self,
            Command::Move { .. } | Command::AbortMove { .. } | Command::RefreshVg
        )
    }

    /// Whether LVM reports success without doing anything when the identity does not match, so
    /// that the messages must tell: what they say, and how many do when all is done. Activation is
    /// silent, and is seen in the kernel instead.
    pub(crate) fn tells_by_messages(&self) -> Option<(&'static str, usize)> {
        match self {
            Command::Remove { uuids } => Some(("successfully removed", uuids.len())),
            Command::Retag { .. } => Some((" changed", 1)),
            _ => None,
        }
    }
}
