use std::str::FromStr;

use crate::StatusError;

/// The table line of a `thin` target (Linux, Documentation/admin-guide/device-mapper/
/// thin-provisioning.rst): its pool, its number there, and what lies below unmapped blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinTable {
    /// Its number in the pool's metadata.
    pub id: u32,
    /// Unmapped blocks are read from another device, not as zeros.
    pub has_external_origin: bool,
}

impl FromStr for ThinTable {
    type Err = StatusError;

    fn from_str(line: &str) -> Result<ThinTable, StatusError> {
        let words: Vec<_> = line.split_whitespace().collect();
        let id = match words.as_slice() {
            [_, id] | [_, id, _] => id.parse().ok(),
            _ => None,
        };
        let id = id.ok_or_else(|| StatusError {
            target: "thin",
            line: line.to_owned(),
            part: "the number of the device",
        })?;
        Ok(ThinTable {
            id,
            has_external_origin: words.len() == 3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let plain = ThinTable {
            id: 17,
            has_external_origin: false,
        };
        assert_eq!("253:4 17".parse(), Ok(plain));
        let above = ThinTable {
            id: 3,
            has_external_origin: true,
        };
        assert_eq!("253:4 3 253:9".parse(), Ok(above));
        assert!("253:4".parse::<ThinTable>().is_err());
        assert!("253:4 x".parse::<ThinTable>().is_err());
    }
}
