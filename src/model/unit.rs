use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes in a sector, the unit of device-mapper tables and of `st_blocks`.
pub const SECTOR: u64 = 512;

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A number of 512-byte sectors.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sectors(pub u64);

/// A number of extents, the allocation unit of a volume group.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Extents(pub u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// The text does not start with a number.
    #[error("{0:?} is not a size; write a number and a unit, as in 10G or 512MiB")]
    NotANumber(String),
    /// The unit is none of b, s, k, m, g, t, p, e, with or without `B` or `iB`.
    #[error("{unit:?} in {text:?} is not a unit; use b, k, m, g, t, p or e")]
    Unit {
        /// The whole text.
        text: String,
        /// The part behind the number.
        unit: String,
    },
    /// The size does not fit into 64 bits of bytes.
    #[error("{0:?} is larger than any device")]
    TooLarge(String),
}

impl Bytes {
    /// One mebibyte.
    pub const MIB: Bytes = Bytes(1 << 20);

    /// Rounds up to a multiple of `unit`; `None` if that does not fit into 64 bits.
    ///
    /// A `unit` of zero leaves the number as it is.
    pub fn round_up(self, unit: Bytes) -> Option<Bytes> {
        match unit.0 {
            0 => Some(self),
            u => self.0.div_ceil(u).checked_mul(u).map(Bytes),
        }
    }

    /// How many whole sectors hold these bytes.
    pub fn sectors_up(self) -> Sectors {
        Sectors(self.0.div_ceil(SECTOR))
    }

    /// Parses a size as lvcreate(8) takes it: `10G`, `10g`, `512MiB`, `1.5t`; the units are powers
    /// of 1024 in either case, `b` is bytes, `s` is sectors, and a bare number is in `bare_unit`.
    /// A fraction is rounded up to whole bytes.
    pub fn parse_with_unit(text: &str, bare_unit: Bytes) -> Result<Bytes, SizeError> {
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let (number, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let no_number = || SizeError::NotANumber(text.to_owned());
        if number.is_empty() || fraction.is_empty() || fraction.contains('.') {
            return Err(no_number());
        }
        let number: u64 = number
            .parse()
            .map_err(|_| SizeError::TooLarge(text.to_owned()))?;
        let factor = if unit.is_empty() {
            bare_unit.0
        } else {
            unit_factor(text, unit)?
        };
        let part = fraction_of(fraction, factor).ok_or_else(no_number)?;
        number
            .checked_mul(factor)
            .and_then(|whole| whole.checked_add(part))
            .map(Bytes)
            .ok_or_else(|| SizeError::TooLarge(text.to_owned()))
    }
}

/// The digits behind a point, of `factor` bytes, rounded up; `None` for too many digits.
fn fraction_of(digits: &str, factor: u64) -> Option<u64> {
    // More digits say nothing about bytes.
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok().filter(|n| *n <= 18)?)?;
    let numerator: u128 = digits.parse().ok()?;
    u64::try_from((numerator * u128::from(factor)).div_ceil(scale)).ok()
}

fn unit_factor(text: &str, unit: &str) -> Result<u64, SizeError> {
    let lower = unit.to_ascii_lowercase();
    let bare = lower.strip_suffix("ib").or_else(|| match lower.as_str() {
        "b" => None,
        other => other.strip_suffix('b'),
    });
    Ok(match bare.unwrap_or(&lower) {
        "b" => 1,
        "s" => SECTOR,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        "e" => 1 << 60,
        _ => {
            return Err(SizeError::Unit {
                text: text.to_owned(),
                unit: unit.to_owned(),
            });
        }
    })
}

impl FromStr for Bytes {
    type Err = SizeError;

    /// Parses a size; a bare number is bytes.
    fn from_str(text: &str) -> Result<Bytes, SizeError> {
        Bytes::parse_with_unit(text, Bytes(1))
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that leaves no fraction, or two decimals of the fitting one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 6] = [
            ("EiB", 1 << 60),
            ("PiB", 1 << 50),
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ];
        match UNITS.into_iter().find(|(_, size)| self.0 >= *size) {
            None => write!(f, "{} B", self.0),
            Some((name, size)) if self.0.is_multiple_of(size) => {
                write!(f, "{} {name}", self.0 / size)
            }
            Some((name, size)) => {
                let hundredths = u128::from(self.0) * 100 / u128::from(size);
                write!(f, "{}.{:02} {name}", hundredths / 100, hundredths % 100)
            }
        }
    }
}

impl Sectors {
    /// The bytes in these sectors; `None` if that does not fit into 64 bits.
    pub fn bytes(self) -> Option<Bytes> {
        self.0.checked_mul(SECTOR).map(Bytes)
    }
}

impl Extents {
    /// The bytes in these extents; `None` if that does not fit into 64 bits.
    pub fn bytes(self, extent_size: Bytes) -> Option<Bytes> {
        self.0.checked_mul(extent_size.0).map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_as_lvm_takes_them() {
        for (text, bytes) in [
            ("10G", 10 << 30),
            ("10g", 10 << 30),
            ("512MiB", 512 << 20),
            ("4MB", 4 << 20),
            ("7b", 7),
            ("7B", 7),
            ("3s", 1536),
            ("0", 0),
            ("1.5G", 3 << 29),
            ("0.5k", 512),
            ("1.50MiB", 3 << 19),
            ("2.0", 2),
            ("0.0001k", 1),
            ("15.999999999999999999E", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        assert_eq!(Bytes::parse_with_unit("5", Bytes::MIB), Ok(Bytes(5 << 20)));
    }

    #[test]
    fn bad_sizes_say_why() {
        for text in [
            "",
            ".5G",
            "1.G",
            "1..5G",
            "1.5.5G",
            "0.1234567890123456789G",
        ] {
            let error = text.parse::<Bytes>().unwrap_err();
            assert!(
                matches!(error, SizeError::NotANumber(_)),
                "{text:?}: {error}"
            );
        }
        assert!(matches!(
            "16.5E".parse::<Bytes>(),
            Err(SizeError::TooLarge(_))
        ));
        assert!(matches!(
            "-1M".parse::<Bytes>(),
            Err(SizeError::NotANumber(_))
        ));
        assert!(matches!(
            "10Q".parse::<Bytes>(),
            Err(SizeError::Unit { .. })
        ));
        assert!(matches!(
            "99999999999E".parse::<Bytes>(),
            Err(SizeError::TooLarge(_))
        ));
        assert!(matches!(
            "99999999999999999999".parse::<Bytes>(),
            Err(SizeError::TooLarge(_))
        ));
    }

    #[test]
    fn sizes_print_without_loss_where_they_can() {
        assert_eq!(Bytes(10 << 30).to_string(), "10 GiB");
        assert_eq!(Bytes((3 << 29) + 1).to_string(), "1.50 GiB");
        assert_eq!(Bytes(511).to_string(), "511 B");
        assert_eq!(Bytes(u64::MAX).to_string(), "15.99 EiB");
    }

    #[test]
    fn rounding_reports_overflow() {
        assert_eq!(Bytes(1).round_up(Bytes::MIB), Some(Bytes::MIB));
        assert_eq!(Bytes(u64::MAX).round_up(Bytes::MIB), None);
        assert_eq!(Bytes(5).round_up(Bytes(0)), Some(Bytes(5)));
    }
}
