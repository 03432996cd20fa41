use glusterfs::{Credentials, Iatt};

/// What is wanted of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// To read it.
    Read,
    /// To write it.
    Write,
    /// To go through it, a directory.
    Search,
}

/// Whether the permission bits let `who` do what is wanted.
///
/// A clone belongs to the caller and holds the source's bytes, so that cloning is reading. Access
/// control lists are not asked; where they are in use, the group bits hold their mask.
pub(crate) fn allowed(who: &Credentials, file: &Iatt, want: Want) -> bool {
    if who.uid == 0 {
        return true;
    }
    let bit = match want {
        Want::Read => 4,
        Want::Write => 2,
        Want::Search => 1,
    };
    let mode = file.permissions();
    let triple = if who.uid == file.uid() {
        mode >> 6
    } else if who.gid == file.gid() || who.groups.contains(&file.gid()) {
        mode >> 3
    } else {
        mode
    };
    triple & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(mode: u32) -> Iatt {
        let mut iatt = Iatt::default();
        iatt.set_uid(1000);
        iatt.set_gid(100);
        iatt.set_permissions(mode);
        iatt
    }

    fn user(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials {
            uid,
            gid,
            groups: groups.to_vec(),
            ..Credentials::root()
        }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let owner = user(1000, 1000, &[]);
        let member = user(1001, 1001, &[5, 100]);
        let other = user(1002, 1002, &[]);
        for (mode, owns, belongs, others) in [
            (0o400, true, false, false),
            (0o040, false, true, false),
            (0o004, false, false, true),
            (0o644, true, true, true),
            (0o311, false, false, false),
        ] {
            assert_eq!(allowed(&owner, &file(mode), Want::Read), owns, "{mode:o}");
            assert_eq!(
                allowed(&member, &file(mode), Want::Read),
                belongs,
                "{mode:o}"
            );
            assert_eq!(allowed(&other, &file(mode), Want::Read), others, "{mode:o}");
        }
        assert!(allowed(&other, &file(0o311), Want::Search));
        assert!(allowed(&user(0, 0, &[]), &file(0), Want::Read));
    }
}
