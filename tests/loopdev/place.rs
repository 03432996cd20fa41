//! Where a test may run.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Gluster and loop devices: runs in `scripts/sandbox`, and in the guest too.
    Native,
    /// Device-mapper and LVM as well: runs in `scripts/guest` only.
    Guest,
}

impl Place {
    /// Refuses a machine that is not the rig's own, or that has no device-mapper.
    pub(crate) fn check(self) -> Result<()> {
        let here = std::env::var("GBT_PLACE").unwrap_or_default();
        match (self, here.as_str()) {
            (Self::Native, "native" | "guest") => Ok(()),
            (Self::Guest, "guest") => {
                if !device_mapper() {
                    bail!("the guest's kernel lacks device-mapper; is dm_mod loaded?");
                }
                Ok(())
            }
            (Self::Native, _) => {
                bail!(
                    "native tests need a machine of their own; run them with `scripts/test native`"
                )
            }
            (Self::Guest, _) => bail!(
                "this test needs device-mapper and a machine of its own; run it with `scripts/test guest`"
            ),
        }
    }
}

/// True when the kernel has device-mapper. The node /dev/mapper/control proves nothing: libdm makes
/// it on any kernel.
pub(crate) fn device_mapper() -> bool {
    std::fs::read_to_string("/proc/misc").is_ok_and(|list| list.contains("device-mapper"))
}

/// Folder for the rig's images.
pub(crate) fn scratch() -> Result<PathBuf> {
    Ok(PathBuf::from(
        std::env::var_os("GBT_SCRATCH").context("GBT_SCRATCH is not set")?,
    ))
}

/// Folder for what outlives the test.
pub(crate) fn out() -> Result<PathBuf> {
    Ok(PathBuf::from(
        std::env::var_os("GBT_OUT").context("GBT_OUT is not set")?,
    ))
}

/// The same folder as its reader knows it: a path of the host.
pub(crate) fn out_shown() -> PathBuf {
    PathBuf::from(std::env::var_os("GBT_OUT_SHOWN").unwrap_or_default())
}
