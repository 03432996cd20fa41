//! Disks, volume groups and bricks of this host.
//!
//! This is the one place that runs LVM's programs: making a volume group and its pool is done
//! before gluster-bdd has anything to do with it, and growing and checking them must do without.

mod brick;
mod disk;
mod extend;
mod fstab;
mod group;
mod layout;
mod mount;
mod program;
mod take;
mod view;

pub(crate) use brick::{BRICKS_STAY, BrickSource, Wanted, prepare};
pub(crate) use disk::{Disk, disks, unseen_members};
pub(crate) use extend::{Growth, PoolPath, extend};
pub(crate) use fstab::{forget, mounted_at, mounts_of, remember};
pub(crate) use group::{
    Group, NewGroup, Pool, find_group, groups, make_group, make_plain_group, pools,
};
pub(crate) use layout::Share;
pub(crate) use mount::{brick_dir, remove as remove_names};
pub use program::ProgramError;
pub(crate) use program::{lvm, run};
pub(crate) use take::{take, take_for};
pub(crate) use view::{ImageVolume, dmeventd, image_volumes, own_view, scans_volumes};
