//! Who may read and write a file, by its mode and its access control list, as posix would say at open.

use glusterfs::{Credentials, Iatt};

/// What is wanted of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Read,
    Write,
}

/// What says who may do what to a file.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    owner: u32,
    group: u32,
    mode: u32,
    acl: Option<Acl>,
}

/// The entries of an access control list that say more than the mode does.
#[derive(Clone, Debug, Default)]
struct Acl {
    users: Vec<(u32, u32)>,
    /// The rights of the owning group; those in the mode are the mask.
    group: u32,
    groups: Vec<(u32, u32)>,
    mask: Option<u32>,
}

impl Rights {
    /// What a file's attributes say, and its list in the form of `system.posix_acl_access`, if it has
    /// one. A list that cannot be read lets nobody but the owner in.
    pub(crate) fn new(file: &Iatt, acl: Option<&[u8]>) -> Rights {
        Rights {
            owner: file.uid(),
            group: file.gid(),
            mode: file.permissions(),
            acl: acl.map(|acl| {
                Acl::read(acl).unwrap_or(Acl {
                    mask: Some(0),
                    ..Acl::default()
                })
            }),
        }
    }

    /// Whether the file belongs to `who`; all files belong to root.
    pub(crate) fn is_owned_by(&self, who: &Credentials) -> bool {
        is_above_all(who) || who.uid == self.owner
    }

    /// Whether `who` may do that.
    pub(crate) fn let_in(&self, who: &Credentials, want: Want) -> bool {
        if is_above_all(who) {
            return true;
        }
        let want = match want {
            Want::Read => 4,
            Want::Write => 2,
        };
        let has = |rights: u32| rights & want != 0;
        if who.uid == self.owner {
            return has(self.mode >> 6);
        }
        let is_in = |group: u32| who.gid == group || who.groups.contains(&group);
        let Some(acl) = &self.acl else {
            return match is_in(self.group) {
                true => has(self.mode >> 3),
                false => has(self.mode),
            };
        };
        let mask = acl.mask.unwrap_or(self.mode >> 3);
        if let Some((_, rights)) = acl.users.iter().find(|(user, _)| *user == who.uid) {
            return has(rights & mask);
        }
        let owning = [(self.group, acl.group)];
        let mut groups = owning.iter().chain(&acl.groups);
        let mut of_mine = groups
            .by_ref()
            .filter(|(group, _)| is_in(*group))
            .peekable();
        if of_mine.peek().is_some() {
            return of_mine.any(|(_, rights)| has(rights & mask));
        }
        has(self.mode)
    }
}

/// Root, in whose name heal and rebalance work, too. Their negative process ids prove nothing: any client
/// can send one, and a brick squashes root only where it does not trust the client.
fn is_above_all(who: &Credentials) -> bool {
    who.uid == 0
}

impl Acl {
    /// Reads the form in which the kernel keeps it: a version, and entries of a tag, rights and an id.
    fn read(bytes: &[u8]) -> Option<Acl> {
        const VERSION: u32 = 2;
        const ENTRY: usize = 8;
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY != 0 {
            return None;
        }
        let mut acl = Acl::default();
        for entry in entries.chunks_exact(ENTRY) {
            let &[a, b, c, d, id @ ..] = entry.first_chunk::<ENTRY>()?;
            let (tag, rights) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let (rights, id) = (u32::from(rights), u32::from_le_bytes(id));
            match tag {
                // ACL_USER_OBJ and ACL_OTHER are in the mode.
                0x01 | 0x20 => {}
                0x02 => acl.users.push((id, rights)),
                0x04 => acl.group = rights,
                0x08 => acl.groups.push((id, rights)),
                0x10 => acl.mask = Some(rights),
                _ => return None,
            }
        }
        Some(acl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNNAMED: u32 = u32::MAX;

    fn file(mode: u32) -> Iatt {
        let mut iatt = Iatt::default();
        iatt.set_uid(1000);
        iatt.set_gid(100);
        iatt.set_permissions(mode);
        iatt
    }

    fn user(uid: u32, groups: &[u32]) -> Credentials {
        Credentials {
            uid,
            gid: uid,
            groups: groups.to_vec(),
            ..Credentials::root()
        }
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let (owner, member, other) = (user(1000, &[]), user(1001, &[5, 100]), user(1002, &[]));
        for (mode, owns, belongs, others) in [
            (0o400, true, false, false),
            (0o040, false, true, false),
            (0o004, false, false, true),
            (0o644, true, true, true),
            (0o311, false, false, false),
        ] {
            let rights = Rights::new(&file(mode), None);
            for (who, may) in [(&owner, owns), (&member, belongs), (&other, others)] {
                assert_eq!(rights.let_in(who, Want::Read), may, "{mode:o} {who:?}");
            }
            assert!(rights.let_in(&user(0, &[]), Want::Write));
            assert!(rights.is_owned_by(&owner) && !rights.is_owned_by(&member));
        }
        let no_heal = Credentials {
            pid: -6,
            ..user(9, &[])
        };
        assert!(!Rights::new(&file(0), None).let_in(&no_heal, Want::Write));
        assert!(!Rights::new(&file(0o622), None).let_in(&other, Want::Read));
        assert!(Rights::new(&file(0o622), None).let_in(&other, Want::Write));
    }

    #[test]
    fn a_list_names_users_and_groups_within_its_mask() {
        // user::rw-, user:7:rw-, group::---, group:8:r--, mask::r--, other::---
        let list = acl(&[
            (0x01, 6, UNNAMED),
            (0x02, 6, 7),
            (0x04, 0, UNNAMED),
            (0x08, 4, 8),
            (0x10, 4, UNNAMED),
            (0x20, 0, UNNAMED),
        ]);
        // The group bits of the mode are the mask, and no right of the group.
        let rights = Rights::new(&file(0o640), Some(&list));
        for (who, reads, writes) in [
            (user(1000, &[]), true, true),
            (user(7, &[]), true, false),
            (user(1001, &[100]), false, false),
            (user(1001, &[8]), true, false),
            (user(1001, &[100, 8]), true, false),
            (user(1002, &[]), false, false),
        ] {
            assert_eq!(rights.let_in(&who, Want::Read), reads, "{who:?}");
            assert_eq!(rights.let_in(&who, Want::Write), writes, "{who:?}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_lets_nobody_in() {
        let good = acl(&[(0x02, 6, 7)]);
        for list in [&good[..3], &good[..9], &acl(&[(0x40, 6, 7)]), b"\x03\0\0\0"] {
            let rights = Rights::new(&file(0o660), Some(list));
            assert!(!rights.let_in(&user(7, &[]), Want::Read));
            assert!(!rights.let_in(&user(1001, &[100]), Want::Read));
            assert!(rights.let_in(&user(1000, &[]), Want::Read));
        }
    }
}
