use std::fmt;
use std::str::FromStr;

use bd_model::Sectors;

use crate::StatusError;

/// How much of a thin LV is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinStatus {
    /// Mapped sectors, in whole chunks; those shared with others count too.
    pub mapped: Sectors,
    /// The last mapped sector; `None` if nothing is mapped.
    pub highest: Option<Sectors>,
}

/// The status line of a `thin` target (Linux, Documentation/admin-guide/device-mapper/
/// thin-provisioning.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinState {
    /// It works.
    Working(ThinStatus),
    /// Its pool has failed.
    Failed,
    /// It is being set up or taken down.
    Unbound,
}

impl FromStr for ThinState {
    type Err = StatusError;

    fn from_str(line: &str) -> Result<ThinState, StatusError> {
        let bad = |part| StatusError {
            target: "thin",
            line: line.to_owned(),
            part,
        };
        match line.trim() {
            "Fail" | "Error" => return Ok(ThinState::Failed),
            "-" => return Ok(ThinState::Unbound),
            _ => {}
        }
        let mut words = line.split_whitespace();
        let mut word = |part| words.next().ok_or_else(|| bad(part));
        const MAPPED: &str = "the number of mapped sectors";
        const HIGHEST: &str = "the highest mapped sector";
        let mapped = word(MAPPED)?.parse().map_err(|_| bad(MAPPED))?;
        let highest = match word(HIGHEST)? {
            "-" => None,
            text => Some(Sectors(text.parse().map_err(|_| bad(HIGHEST))?)),
        };
        Ok(ThinState::Working(ThinStatus {
            mapped: Sectors(mapped),
            highest,
        }))
    }
}

impl fmt::Display for ThinState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ThinState::Failed => f.write_str("Fail"),
            ThinState::Unbound => f.write_str("-"),
            ThinState::Working(ThinStatus {
                mapped,
                highest: None,
            }) => write!(f, "{} -", mapped.0),
            ThinState::Working(ThinStatus {
                mapped,
                highest: Some(highest),
            }) => {
                write!(f, "{} {}", mapped.0, highest.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines_round_trip() {
        for line in ["0 -", "128 127", "2097152 8388607", "Fail", "-"] {
            assert_eq!(line.parse::<ThinState>().unwrap().to_string(), line);
        }
        assert_eq!(
            "128 16383".parse(),
            Ok(ThinState::Working(ThinStatus {
                mapped: Sectors(128),
                highest: Some(Sectors(16383))
            }))
        );
    }

    #[test]
    fn other_lines_name_the_part() {
        for (line, part) in [
            ("", "mapped sectors"),
            ("x -", "mapped sectors"),
            ("1", "highest"),
        ] {
            let error = line.parse::<ThinState>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
