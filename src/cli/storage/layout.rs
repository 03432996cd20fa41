//! How the space of a volume group is shared out.

use std::str::FromStr;

use bd_model::{Bytes, SizeError};

/// How much of something: bytes, or percent of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// This many bytes.
    Bytes(Bytes),
    /// This many percent.
    Percent(u64),
}

impl FromStr for Share {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Share, SizeError> {
        // As LVM writes shares of what is free.
        let share = text.to_ascii_uppercase();
        match share.strip_suffix("%FREE").or(share.strip_suffix('%')) {
            None => Ok(Share::Bytes(Bytes::parse_with_unit(text, Bytes::MIB)?)),
            Some(number) => match number.parse() {
                Ok(percent @ 1..=100) => Ok(Share::Percent(percent)),
                _ => Err(SizeError::NotANumber(text.to_owned())),
            },
        }
    }
}

impl Share {
    /// The bytes it is of `total`.
    pub(crate) fn of(self, total: Bytes) -> Bytes {
        match self {
            Share::Bytes(bytes) => bytes,
            Share::Percent(percent) => Bytes(total.0 / 100 * percent),
        }
    }
}

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Bytes of the small file system for the names of a brick: XFS takes 300 MiB at least.
pub(crate) fn names(total: Bytes) -> Bytes {
    Bytes(if total.0 >= 32 * GIB { GIB } else { 320 * MIB })
}

/// Bytes of a pool's metadata. It exists twice, as LVM keeps a spare for repairs.
///
/// 1 GiB holds the mappings of any pool for long; growing a full one is the trouble to avoid.
pub(crate) fn metadata(total: Bytes) -> Bytes {
    Bytes(match total.0 {
        all if all >= 20 * GIB => GIB,
        all if all >= 4 * GIB => 64 * MIB,
        all if all >= GIB => 16 * MIB,
        _ => 4 * MIB,
    })
}

/// Bytes of a thin pool in a group of `total` bytes; `None` if there is no room for one.
///
/// The names and both copies of the metadata come first. By default a tenth of the rest stays
/// free, so that the pool can grow in an emergency.
pub(crate) fn pool(total: Bytes, metadata: Bytes, wanted: Option<Share>) -> Option<Bytes> {
    let others = names(total).0 + 2 * metadata.0;
    let room = total.0.checked_sub(others).filter(|room| *room > 0)?;
    let pool = wanted.unwrap_or(Share::Percent(90)).of(Bytes(room));
    // LVM rounds sizes up to its extents, which are 4 MiB; ours must still fit then.
    let whole = pool.0 / (4 * MIB) * (4 * MIB);
    (whole > 0 && whole <= room).then_some(Bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_sizes_or_percents() {
        assert_eq!("50%".parse(), Ok(Share::Percent(50)));
        assert_eq!("100%FREE".parse(), Ok(Share::Percent(100)));
        assert_eq!("1.5g".parse(), Ok(Share::Bytes(Bytes(3 * GIB / 2))));
        assert_eq!("10g".parse(), Ok(Share::Bytes(Bytes(10 * GIB))));
        for text in ["0%", "101%", "x%", "", "%", "%FREE", "50%VG"] {
            assert!(text.parse::<Share>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_parts_fit_into_the_group() {
        for total in [512 * MIB, 2 * GIB, 16 * GIB, 20 * GIB, 4096 * GIB] {
            let total = Bytes(total);
            let metadata = metadata(total);
            let pool = pool(total, metadata, None).unwrap();
            let used = pool.0 + 2 * metadata.0 + names(total).0;
            assert!(used < total.0, "{total}");
            assert!(pool.0 > total.0 / 5, "{total}: {pool}");
            assert_eq!(pool.0 % (4 * MIB), 0, "{pool}");
        }
        assert_eq!(metadata(Bytes(20 * GIB)), Bytes(GIB));
    }

    #[test]
    fn a_pool_that_does_not_fit_is_none() {
        let total = Bytes(2 * GIB);
        assert_eq!(pool(Bytes(100 * MIB), metadata(total), None), None);
        assert_eq!(
            pool(total, metadata(total), Some(Share::Bytes(total))),
            None
        );
    }
}
