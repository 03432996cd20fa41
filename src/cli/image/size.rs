use std::str::FromStr;

use bd_model::{Bytes, SizeError};

/// A size on the command line, as LVM takes it; a bare number is MiB, as it was in the old command.
pub(crate) fn parse_size(text: &str) -> Result<Bytes, SizeError> {
    Bytes::parse_with_unit(text, Bytes::MIB)
}

/// A share of what is free, as LVM writes it: `N%FREE`.
fn parse_free(text: &str) -> Option<Result<u64, SizeError>> {
    let text = text.to_ascii_uppercase();
    let (number, "FREE") = text.split_once('%')? else {
        return None;
    };
    Some(match number.parse() {
        Ok(percent @ 1..=100) => Ok(percent),
        _ => Err(SizeError::NotANumber(text)),
    })
}

/// The size of something new: bytes, or percent of what is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// This many bytes.
    Bytes(Bytes),
    /// This many percent of what the volume group has left.
    Free(u64),
}

impl FromStr for Amount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Amount, SizeError> {
        match parse_free(text) {
            Some(percent) => percent.map(Amount::Free),
            None => parse_size(text).map(Amount::Bytes),
        }
    }
}

/// Percent of `free` bytes, in whole pieces of `unit` bytes: what is begun of a piece is not had.
pub(crate) fn share(percent: u64, free: Bytes, unit: Bytes) -> Bytes {
    let unit = unit.0.max(1);
    let pieces = u128::from(free.0 / unit) * u128::from(percent) / 100;
    // A share is no more than the whole.
    Bytes(u64::try_from(pieces).unwrap_or(0) * unit)
}

/// A new size: `SIZE`, `+SIZE`, `-SIZE` or `+N%FREE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resize {
    /// To this size.
    To(Bytes),
    /// Larger by this.
    Grow(Bytes),
    /// Smaller by this.
    Shrink(Bytes),
    /// Larger by this many percent of what the volume group has left.
    GrowFree(u64),
}

impl FromStr for Resize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Resize, SizeError> {
        Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(by), _) => match by.parse()? {
                Amount::Bytes(by) => Resize::Grow(by),
                Amount::Free(percent) => Resize::GrowFree(percent),
            },
            (_, Some(by)) => Resize::Shrink(parse_size(by)?),
            (None, None) => Resize::To(parse_size(text)?),
        })
    }
}

impl Resize {
    /// The size that an image of `size` gets, where `added` is what a share of the free space is;
    /// `None` if that is below zero or too large.
    pub(crate) fn of(self, size: Bytes, added: Bytes) -> Option<Bytes> {
        match self {
            Resize::To(to) => Some(to),
            Resize::Grow(by) => size.0.checked_add(by.0).map(Bytes),
            Resize::Shrink(by) => size.0.checked_sub(by.0).map(Bytes),
            Resize::GrowFree(_) => size.0.checked_add(added.0).map(Bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_absolute_or_by() {
        let of = |text: &str| {
            text.parse::<Resize>()
                .unwrap()
                .of(Bytes(4 << 20), Bytes(8 << 20))
        };
        assert_eq!(of("8"), Some(Bytes(8 << 20)));
        assert_eq!(of("8b"), Some(Bytes(8)));
        assert_eq!(of("+1G"), Some(Bytes((1 << 30) + (4 << 20))));
        assert_eq!(of("-1"), Some(Bytes(3 << 20)));
        assert_eq!(of("-1g"), None);
        assert_eq!(of("+50%FREE"), Some(Bytes(12 << 20)));
        for text in [
            "", "+", "-", "+-1", "x", "1x", "50%FREE", "-50%FREE", "+0%FREE", "+1%",
        ] {
            assert!(text.parse::<Resize>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn shares_are_of_what_is_free() {
        assert_eq!("100%FREE".parse(), Ok(Amount::Free(100)));
        assert_eq!("7%free".parse(), Ok(Amount::Free(7)));
        assert_eq!("7".parse(), Ok(Amount::Bytes(Bytes(7 << 20))));
        for text in [
            "0%FREE", "101%FREE", "%FREE", "1.5%FREE", "5%", "5%VG", "-5%FREE",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text:?}");
        }
        // As LVM does: whole extents, rounded down.
        let extent = Bytes(4 << 20);
        assert_eq!(share(50, Bytes(3 * (4 << 20)), extent), extent);
        assert_eq!(share(100, Bytes(3 * (4 << 20)), extent), Bytes(12 << 20));
        assert_eq!(share(1, Bytes(50 * (4 << 20)), extent), Bytes(0));
        let most = Bytes(u64::MAX / (4 << 20) * (4 << 20));
        assert_eq!(share(100, most, extent), most);
    }
}
