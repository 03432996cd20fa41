use std::fmt;
use std::str::FromStr;

/// Why a text is not the `lv_attr` field of a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an lv_attr of lvs(8): character {position} is not known")]
pub struct LvAttrError {
    /// The whole text.
    pub text: String,
    /// Counted from one, as in lvs(8).
    pub position: usize,
}

macro_rules! characters {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $char:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl $name {
            fn from_char(c: char) -> Option<$name> {
                match c {
                    $($char => Some($name::$variant),)*
                    _ => None,
                }
            }

            fn to_char(self) -> char {
                match self {
                    $($name::$variant => $char,)*
                }
            }
        }
    };
}

characters! {
    /// First character: what kind of volume it is.
    LvType {
        /// A plain volume.
        Plain = '-',
        /// Cached.
        Cache = 'C',
        /// Mirrored.
        Mirrored = 'm',
        /// Mirrored without initial synchronisation.
        MirroredUnsynced = 'M',
        /// Has copy-on-write snapshots.
        Origin = 'o',
        /// Has a snapshot that is merging into it.
        OriginMerging = 'O',
        /// With integrity checksums.
        Integrity = 'g',
        /// RAID.
        Raid = 'r',
        /// RAID without initial synchronisation.
        RaidUnsynced = 'R',
        /// Copy-on-write snapshot.
        Snapshot = 's',
        /// Copy-on-write snapshot that is merging.
        SnapshotMerging = 'S',
        /// Being moved.
        PvMove = 'p',
        /// Without disk space of its own.
        Virtual = 'v',
        /// Leg of a mirror or RAID.
        Image = 'i',
        /// Leg of a mirror or RAID, out of step.
        ImageUnsynced = 'I',
        /// Log of a mirror.
        MirrorLog = 'l',
        /// Under conversion.
        Converting = 'c',
        /// Thin volume.
        Thin = 'V',
        /// Thin pool.
        ThinPool = 't',
        /// Data of a thin pool.
        ThinPoolData = 'T',
        /// VDO pool.
        VdoPool = 'd',
        /// Data of a VDO pool.
        VdoPoolData = 'D',
        /// Metadata of a pool or RAID, or the spare for it.
        Metadata = 'e',
    }
}

characters! {
    /// Second character: who may write.
    Permission {
        /// Not told.
        None = '-',
        /// Writeable.
        Writeable = 'w',
        /// Read-only.
        ReadOnly = 'r',
        /// Activated read-only although it is writeable.
        ReadOnlyActivation = 'R',
    }
}

characters! {
    /// Third character: how extents are chosen; capital letters while that is locked.
    Allocation {
        /// Not told.
        None = '-',
        /// Anywhere.
        Anywhere = 'a',
        /// Anywhere, locked.
        AnywhereLocked = 'A',
        /// In one piece.
        Contiguous = 'c',
        /// In one piece, locked.
        ContiguousLocked = 'C',
        /// As the VG says.
        Inherited = 'i',
        /// As the VG says, locked.
        InheritedLocked = 'I',
        /// On the same disks.
        Cling = 'l',
        /// On the same disks, locked.
        ClingLocked = 'L',
        /// By common sense.
        Normal = 'n',
        /// By common sense, locked.
        NormalLocked = 'N',
    }
}

characters! {
    /// Fifth character: what the kernel has of it.
    LvState {
        /// Not active.
        Inactive = '-',
        /// Active.
        Active = 'a',
        /// Only remembered by LVM.
        Historical = 'h',
        /// Suspended.
        Suspended = 's',
        /// A copy-on-write snapshot that has overflowed.
        InvalidSnapshot = 'I',
        /// The same, suspended.
        InvalidSnapshotSuspended = 'S',
        /// A merge has failed.
        MergeFailed = 'm',
        /// The same, suspended.
        MergeFailedSuspended = 'M',
        /// A device without tables.
        NoTables = 'd',
        /// A device with an inactive table.
        InactiveTable = 'i',
        /// A thin pool whose metadata must be checked.
        CheckNeeded = 'c',
        /// The same, suspended.
        CheckNeededSuspended = 'C',
        /// Could not be found out.
        Unknown = 'X',
    }
}

characters! {
    /// Seventh character: the kernel target.
    TargetType {
        /// None of these.
        None = '-',
        /// Cache.
        Cache = 'C',
        /// Mirror.
        Mirror = 'm',
        /// RAID.
        Raid = 'r',
        /// Snapshot.
        Snapshot = 's',
        /// Thin.
        Thin = 't',
        /// Not known.
        Unknown = 'u',
        /// Virtual.
        Virtual = 'v',
    }
}

characters! {
    /// Ninth character: how it is doing.
    Health {
        /// Well.
        Good = '-',
        /// Some of its disks are missing.
        Partial = 'p',
        /// Could not be found out.
        Unknown = 'X',
        /// A RAID that needs a refresh.
        RefreshNeeded = 'r',
        /// A RAID whose legs differ.
        Mismatches = 'm',
        /// A leg that is read as a last resort.
        WriteMostly = 'w',
        /// A RAID that is being reshaped.
        Reshaping = 's',
        /// A leg that is being taken away.
        ReshapeRemoved = 'R',
        /// A thin pool or thin volume that has failed.
        Failed = 'F',
        /// A thin pool without free data space.
        OutOfDataSpace = 'D',
        /// A thin pool whose metadata are read-only.
        MetadataReadOnly = 'M',
        /// A write cache with errors.
        Error = 'E',
    }
}

/// The `lv_attr` field of lvs(8), each character as what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LvAttr {
    /// What kind of volume it is.
    pub kind: LvType,
    /// Who may write.
    pub permission: Permission,
    /// How extents are chosen.
    pub allocation: Allocation,
    /// Whether its minor number is fixed.
    pub fixed_minor: bool,
    /// What the kernel has of it.
    pub state: LvState,
    /// Whether somebody has it open; `None` where that could not be found out.
    pub open: Option<bool>,
    /// The kernel target.
    pub target: TargetType,
    /// Whether new blocks are zeroed before they can be read.
    pub zero: bool,
    /// How it is doing.
    pub health: Health,
    /// Whether it is left out unless activation is asked for with `-K`.
    pub skip_activation: bool,
}

impl FromStr for LvAttr {
    type Err = LvAttrError;

    fn from_str(text: &str) -> Result<LvAttr, LvAttrError> {
        let bad = |position| LvAttrError {
            text: text.to_owned(),
            position,
        };
        let chars: Vec<char> = text.chars().collect();
        let chars: [char; 10] = chars
            .try_into()
            .map_err(|c: Vec<char>| bad(c.len().min(10) + 1))?;
        let flag = |index: usize, set: char| match chars[index] {
            '-' => Ok(false),
            c if c == set => Ok(true),
            _ => Err(bad(index + 1)),
        };
        Ok(LvAttr {
            kind: LvType::from_char(chars[0]).ok_or_else(|| bad(1))?,
            permission: Permission::from_char(chars[1]).ok_or_else(|| bad(2))?,
            allocation: Allocation::from_char(chars[2]).ok_or_else(|| bad(3))?,
            fixed_minor: flag(3, 'm')?,
            state: LvState::from_char(chars[4]).ok_or_else(|| bad(5))?,
            open: if chars[5] == 'X' {
                None
            } else {
                Some(flag(5, 'o')?)
            },
            target: TargetType::from_char(chars[6]).ok_or_else(|| bad(7))?,
            zero: flag(7, 'z')?,
            health: Health::from_char(chars[8]).ok_or_else(|| bad(9))?,
            skip_activation: flag(9, 'k')?,
        })
    }
}

impl fmt::Display for LvAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |set, c| if set { c } else { '-' };
        let chars = [
            self.kind.to_char(),
            self.permission.to_char(),
            self.allocation.to_char(),
            flag(self.fixed_minor, 'm'),
            self.state.to_char(),
            self.open.map_or('X', |open| flag(open, 'o')),
            self.target.to_char(),
            flag(self.zero, 'z'),
            self.health.to_char(),
            flag(self.skip_activation, 'k'),
        ];
        chars.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_attributes_round_trip() {
        for text in [
            "-wi-a-----",
            "twi-a-tz--",
            "twi-aotz--",
            "Twi-ao----",
            "ewi-------",
            "Vwi-aotz-k",
            "Vwi---tz-k",
            "owi-aos---",
            "swi-a-s---",
            "swi-I-s---",
            "twi-cotzM-",
            "twi-aotzD-",
            "rwi-aor-p-",
            "Vwi-XXtzXk",
        ] {
            assert_eq!(text.parse::<LvAttr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_pool_tells_its_state() {
        let attr: LvAttr = "twi-cotzM-".parse().unwrap();
        assert_eq!(attr.kind, LvType::ThinPool);
        assert_eq!(attr.state, LvState::CheckNeeded);
        assert_eq!(attr.health, Health::MetadataReadOnly);
        assert!(attr.zero);
        assert_eq!(attr.open, Some(true));
    }

    #[test]
    fn unknown_characters_are_named() {
        for (text, position) in [
            ("", 1),
            ("-wi-a----", 10),
            ("-wi-a------", 11),
            ("?wi-a-----", 1),
            ("-wi-a-?---", 7),
            ("-wix a----", 4),
        ] {
            let error = text.parse::<LvAttr>().unwrap_err();
            assert_eq!(error.position, position, "{text:?}");
        }
    }
}
