//! The only door to LVM.
//!
//! liblvm2cmd is not thread-safe, so one thread owns it and runs one command at a time
//! ([`Executor`]). Callers never write command lines: they give a typed [`Command`] or ask for a
//! report, both through the trait [`Lvm`], which also has a fake for tests ([`fake::FakeLvm`]).
#![deny(unsafe_code)]

mod attr;
mod block;
mod command;
mod command_line;
mod config;
mod error;
mod executor;
pub mod fake;
#[expect(
    unsafe_code,
    reason = "the C library and two ioctls; every block says why it is sound"
)]
mod ffi;
mod ids;
mod lock;
mod mda_header;
mod metadata;
mod pv;
mod report;
mod tag;

use bd_model::{LvName, VgName};

pub use attr::{Allocation, Health, LvAttr, LvAttrError, LvState, LvType, Permission, TargetType};
pub use block::{discard, zero_out};
pub use command::{Command, Done};
pub use config::LvmConfig;
pub use error::{LvmError, LvmErrorKind};
pub use executor::Executor;
pub use ids::{LvmUuid, LvmUuidError, dm_name, dm_pool_uuid, dm_uuid};
pub use lock::{VgLock, VgLocks};
pub use mda_header::{MDA_HEADER_AT, MDA_HEADER_LEN, TextPlace, mda_header};
pub use metadata::{ThinLv, disks_of_vg, plain_thin_lv};
pub use pv::{MoveReport, PvName, PvNameError, PvReport};
pub use report::{LvReport, PoolReport, ThinDevice, VgReport};
pub use tag::{Tag, TagError};

/// What can be asked of LVM.
///
/// All calls block until LVM is done; calls of several threads are served one after another.
pub trait Lvm: std::fmt::Debug + Send + Sync {
    /// Reads a VG and its visible LVs from the disks.
    fn report(&self, vg: &VgName) -> Result<VgReport, LvmError>;

    /// The name of the VG that has an identity; `None` if there is none here.
    fn name_of(&self, vg: &LvmUuid) -> Result<Option<VgName>, LvmError>;

    /// Reads what is set for a thin pool.
    fn pool(&self, vg: &VgName, pool: &LvName) -> Result<PoolReport, LvmError>;

    /// Reads which devices of a thin pool its LVs are.
    fn thin_devices(&self, vg: &VgName, pool: &LvName) -> Result<Vec<ThinDevice>, LvmError>;

    /// Reads what lies on a physical volume.
    fn pv(&self, pv: &PvName) -> Result<PvReport, LvmError>;

    /// Reads which moves of extents are under way in a VG, or were cut short.
    fn moves(&self, vg: &VgName) -> Result<Vec<MoveReport>, LvmError>;

    /// Changes a VG or one of its LVs by one LVM command.
    fn change(&self, vg: &VgName, change: &Command) -> Result<Done, LvmError>;
}
