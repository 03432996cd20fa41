use std::fmt;
use std::str::FromStr;

use bd_model::{LvName, VgName};

/// Hyphens of the printed form stand before these characters of the bare form.
const GROUPS: [usize; 6] = [6, 10, 14, 18, 22, 26];

/// The identity that LVM gives to a VG or an LV: 32 characters, kept without hyphens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LvmUuid(String);

/// Why a text is not an identity of LVM's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UUID of LVM: 32 letters and digits, with or without hyphens")]
pub struct LvmUuidError(String);

impl LvmUuid {
    /// The form without hyphens, as device-mapper UUIDs hold it.
    pub fn bare(&self) -> &str {
        &self.0
    }
}

impl FromStr for LvmUuid {
    type Err = LvmUuidError;

    fn from_str(text: &str) -> Result<LvmUuid, LvmUuidError> {
        let bare = text.replace('-', "");
        // LVM's own identifiers use letters and digits; `!` and `#` too in principle.
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '!' || c == '#';
        if bare.len() != 32 || !bare.chars().all(allowed) {
            return Err(LvmUuidError(text.to_owned()));
        }
        Ok(LvmUuid(bare))
    }
}

impl fmt::Display for LvmUuid {
    /// The hyphenated form which LVM prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut from = 0;
        for to in GROUPS {
            write!(f, "{}-", &self.0[from..to])?;
            from = to;
        }
        f.write_str(&self.0[from..])
    }
}

impl fmt::Debug for LvmUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LvmUuid({self})")
    }
}

/// The device-mapper UUID of an active LV.
pub fn dm_uuid(vg: &LvmUuid, lv: &LvmUuid) -> String {
    format!("LVM-{}{}", vg.0, lv.0)
}

/// The device-mapper UUID of the layer of an active thin pool which serves its thin LVs.
pub fn dm_pool_uuid(vg: &LvmUuid, pool: &LvmUuid) -> String {
    format!("LVM-{}{}-tpool", vg.0, pool.0)
}

/// The device-mapper name of an active LV: both names with doubled hyphens.
pub fn dm_name(vg: &VgName, lv: &LvName) -> String {
    format!(
        "{}-{}",
        vg.as_str().replace('-', "--"),
        lv.as_str().replace('-', "--")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_have_two_forms() {
        let printed = "c6KbT7-AYK9-19hK-LNPX-J2Lg-xleh-tRA1ub";
        let id: LvmUuid = printed.parse().unwrap();
        assert_eq!(id.bare(), "c6KbT7AYK919hKLNPXJ2LgxlehtRA1ub");
        assert_eq!(id.to_string(), printed);
        assert_eq!(id.bare().parse(), Ok(id.clone()));
        for bad in [
            "",
            "c6KbT7",
            &printed[1..],
            "c6KbT7-AYK9-19hK-LNPX-J2Lg-xleh-tRA1u\"",
        ] {
            assert!(bad.parse::<LvmUuid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn device_names_double_hyphens() {
        let name = dm_name(&"my-vg".parse().unwrap(), &"a-b--c".parse().unwrap());
        assert_eq!(name, "my--vg-a--b----c");
    }

    #[test]
    fn device_uuids_join_both() {
        let vg = "c6KbT7-AYK9-19hK-LNPX-J2Lg-xleh-tRA1ub".parse().unwrap();
        let lv = "LBdV1s-raNG-wkFY-UbEa-xgAt-e2cl-sAVPsT".parse().unwrap();
        let uuid = "LVM-c6KbT7AYK919hKLNPXJ2LgxlehtRA1ubLBdV1sraNGwkFYUbEaxgAte2clsAVPsT";
        assert_eq!(dm_uuid(&vg, &lv), uuid);
        assert_eq!(dm_pool_uuid(&vg, &lv), format!("{uuid}-tpool"));
    }
}
