use std::fmt;
use std::str::FromStr;

use bd_model::{Bytes, SizeError};
use serde::{Deserialize, Deserializer};

/// An amount of space: bytes, or percent of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This many bytes.
    Bytes(Bytes),
    /// This many percent.
    Percent(u64),
}

impl By {
    /// The bytes it is of `whole`.
    pub fn of(self, whole: Bytes) -> Bytes {
        match self {
            By::Bytes(bytes) => bytes,
            By::Percent(percent) => share(whole, percent),
        }
    }
}

/// So many percent of `whole`.
pub(super) fn share(whole: Bytes, percent: u64) -> Bytes {
    let bytes = u128::from(whole.0) * u128::from(percent) / 100;
    Bytes(u64::try_from(bytes).unwrap_or(u64::MAX))
}

impl FromStr for By {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<By, SizeError> {
        match text.trim().strip_suffix('%') {
            None => Ok(By::Bytes(text.parse()?)),
            Some(number) => match number.parse() {
                Ok(percent @ 0..=1000) => Ok(By::Percent(percent)),
                _ => Err(SizeError::NotANumber(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Bytes(bytes) => bytes.fmt(f),
            By::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<By, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| {
            serde::de::Error::custom(format!(
                "{text:?} is neither a size nor a percentage; write \"20%\" or \"10G\""
            ))
        })
    }
}
