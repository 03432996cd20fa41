//! Growing a thin pool.

use std::fmt;
use std::str::FromStr;

use bd_model::{Bytes, LvName, SizeError, VgName};

use super::group::{Pool, pools};
use super::program::lvm;
use crate::CliError;
use crate::image::Resize;
use crate::interrupt::Interrupt;

/// A thin pool by its path: `VG/POOL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolPath {
    /// Its volume group.
    pub(crate) vg: VgName,
    /// Its name.
    pub(crate) pool: LvName,
}

impl FromStr for PoolPath {
    type Err = String;

    fn from_str(text: &str) -> Result<PoolPath, String> {
        let (vg, pool) = text
            .split_once('/')
            .ok_or_else(|| format!("{text:?} is not a pool; write VG/POOL, as in vg0/pool"))?;
        Ok(PoolPath {
            vg: vg.parse().map_err(|e| format!("{e}"))?,
            pool: pool.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

impl fmt::Display for PoolPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vg, self.pool)
    }
}

/// What a pool shall grow to, or by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// To this size.
    To(Bytes),
    /// By this size.
    By(Bytes),
    /// By this percentage of what is free in the volume group.
    Free(u64),
}

impl FromStr for Growth {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Growth, SizeError> {
        match text.parse()? {
            Resize::To(to) => Ok(Growth::To(to)),
            Resize::Grow(by) => Ok(Growth::By(by)),
            Resize::GrowFree(percent) => Ok(Growth::Free(percent)),
            Resize::Shrink(_) => Err(SizeError::NotANumber(text.to_owned())),
        }
    }
}

impl Growth {
    /// The bytes to add to `size` where `free` bytes are left; errors say what is wrong.
    fn added(self, size: Bytes, free: Bytes) -> Result<Bytes, String> {
        match self {
            Growth::By(by) => Ok(by),
            Growth::Free(percent) => Ok(Bytes(free.0 / 100 * percent + free.0 % 100 * percent / 100)),
            Growth::To(to) => to.0.checked_sub(size.0).map(Bytes).ok_or_else(|| {
                format!("{to} is less than its {size}, and pools cannot shrink; write +SIZE to add to it")
            }),
        }
    }
}

/// The one pool at `path`.
fn find(path: &PoolPath) -> Result<Pool, CliError> {
    let here = |pool: &Pool| pool.vg == path.vg.as_str() && pool.pool == path.pool.as_str();
    pools()?.into_iter().find(here).ok_or_else(|| {
        CliError::NotFound(format!(
            "there is no thin pool {path} on this host; see: gluster-bd pool status"
        ))
    })
}

/// Grows the data or the metadata of a pool, or both; answers it as it was and as it is.
///
/// All of it is refused where the group has not enough free space for it.
pub(crate) fn extend(
    path: &PoolPath,
    data: Option<Growth>,
    metadata: Option<Growth>,
) -> Result<(Pool, Pool), CliError> {
    let interrupt = Interrupt::watch()?;
    let was = find(path)?;
    let free = Bytes(was.group_free);
    let refused = |why: String| CliError::Refused(format!("cannot extend {path}: {why}"));
    // The metadata first: a share of what is free is then one of what they leave.
    let of = |growth: Option<Growth>, size, free| match growth {
        Some(growth) => growth.added(Bytes(size), free).map_err(refused),
        None => Ok(Bytes(0)),
    };
    let more_metadata = of(metadata, was.metadata_size, free)?;
    let left = free.0.checked_sub(more_metadata.0);
    let more_data = of(data, was.size, Bytes(left.unwrap_or(0)))?;
    if left.is_none_or(|left| left < more_data.0) || free.0 == 0 {
        return Err(CliError::Failed(format!(
            "cannot extend {path} by {more_data} of data and {more_metadata} of metadata: {free} \
             free in {}; add a disk (vgextend {0} DEVICE) or choose a smaller size",
            path.vg
        )));
    }
    if more_data.0 == 0 && more_metadata.0 == 0 {
        return Err(refused(format!(
            "it has {} of data and {} of metadata already",
            Bytes(was.size),
            Bytes(was.metadata_size)
        )));
    }
    let name = path.to_string();
    if more_metadata.0 > 0 {
        let size = format!("+{}b", more_metadata.0);
        lvm("lvextend", &["-q", "--poolmetadatasize", &size, &name])?;
        if more_data.0 > 0 {
            interrupt.check_or("the metadata of the pool were extended, its data were not")?;
        }
    }
    match data {
        None => {}
        // LVM's own share of what is free now is whole extents.
        Some(Growth::Free(percent)) => {
            let size = format!("+{percent}%FREE");
            lvm("lvextend", &["-q", "-l", &size, &name])?;
        }
        Some(_) if more_data.0 > 0 => {
            let size = format!("+{}b", more_data.0);
            lvm("lvextend", &["-q", "-L", &size, &name])?;
        }
        Some(_) => {}
    }
    Ok((was, find(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn growth_is_to_or_by_or_a_share() {
        for (text, growth) in [
            ("10g", Growth::To(Bytes(10 * GIB))),
            ("+10G", Growth::By(Bytes(10 * GIB))),
            ("+100%FREE", Growth::Free(100)),
            ("+5%free", Growth::Free(5)),
        ] {
            assert_eq!(text.parse(), Ok(growth), "{text}");
        }
        for text in [
            "",
            "+",
            "-1G",
            "100%FREE",
            "+0%FREE",
            "+101%FREE",
            "+5%",
            "+5%VG",
        ] {
            assert!(text.parse::<Growth>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_added_is_bytes() {
        let (size, free) = (Bytes(4 * GIB), Bytes(2 * GIB));
        assert_eq!(Growth::To(Bytes(5 * GIB)).added(size, free), Ok(Bytes(GIB)));
        assert_eq!(Growth::By(Bytes(7)).added(size, free), Ok(Bytes(7)));
        assert_eq!(Growth::Free(50).added(size, free), Ok(Bytes(GIB)));
        assert_eq!(Growth::Free(100).added(size, Bytes(199)), Ok(Bytes(199)));
        let error = Growth::To(Bytes(GIB)).added(size, free).unwrap_err();
        assert!(error.starts_with("1 GiB is less than its 4 GiB"), "{error}");
    }

    #[test]
    fn pools_are_named_with_their_group() {
        let path: PoolPath = "vg0/pool".parse().unwrap();
        assert_eq!(path.to_string(), "vg0/pool");
        for text in ["pool", "vg0/", "/pool", "vg0/a/b", "-v/pool", "vg0/x_tdata"] {
            assert!(text.parse::<PoolPath>().is_err(), "{text:?}");
        }
    }
}
