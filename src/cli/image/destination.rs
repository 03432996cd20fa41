use std::str::FromStr;

use super::path::{ImagePath, NewName, PathError};

/// Where a copy of an image is to be, or an image that gets another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A name in the same directory, or a path in the same volume.
    Beside(NewName),
    /// A volume is named: `VOL:/PATH`, or `VOL:NAME` in its top image directory.
    In(ImagePath),
}

impl FromStr for Destination {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Destination, PathError> {
        match text.parse() {
            Ok(path) => Ok(Destination::In(path)),
            // What stands before a colon is no volume.
            Err(PathError::NoVolume(_) | PathError::Volume(_)) => {
                text.parse().map(Destination::Beside)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_may_be_named_again() {
        let parsed = |text: &str| text.parse::<Destination>();
        for text in ["vms:b", "vms:/vg0/b", "vms:vg0/b"] {
            assert_eq!(
                parsed(text).unwrap(),
                Destination::In(text.parse().unwrap())
            );
        }
        for text in ["b", "/vg0/b", "vg0/b", "/vg0/vms:b", "a b:c"] {
            let beside = Destination::Beside(text.parse().unwrap());
            assert_eq!(parsed(text).unwrap(), beside);
        }
        assert!(parsed("vms:").is_err() && parsed("../b").is_err());
    }
}
