/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The brick does or tells what posix would.
    Answered,
    /// A translator above it has answered, and leaves the key in the request.
    Above,
    /// There is nothing to do for an image.
    Meaningless,
}

/// Some fops that the brick answers itself, and a key that may come with them. A key that ends with `*`
/// stands for all that begin so.
#[derive(Debug)]
pub(super) struct Row {
    fops: &'static [&'static str],
    key: &'static str,
    pub(super) how: How,
    pub(super) why: &'static str,
}

/// Every fop that never reaches posix for an image with what it carries.
pub(super) const OWN: &[&str] = &[
    "readv",
    "writev",
    "fallocate",
    "discard",
    "zerofill",
    "seek",
    "rchecksum",
    "truncate",
    "ftruncate",
    "fsync",
];

const TABLE: &[Row] = &[
    Row {
        fops: &["writev"],
        key: "glusterfs.open-fd-count",
        how: How::Answered,
        why: "the count that Gluster keeps of the inode",
    },
    Row {
        fops: &["writev"],
        key: "glusterfs.open-active-fd-count",
        how: How::Answered,
        why: "as above; AFR keeps no lock on attributes between changes where there are several",
    },
    Row {
        fops: &["writev"],
        key: "glusterfs.write-is-append",
        how: How::Answered,
        why: "whether the write began at the end that the file had when its turn came; AFR need not sync then",
    },
    Row {
        fops: &["writev", "fallocate", "zerofill", "truncate", "ftruncate"],
        key: "glusterfs.write-update-atomic",
        how: How::Answered,
        why: "the sizes before and after a write differ by it alone; posix looks at the key in the other fops, but only sharding sends it, and only with writes",
    },
    Row {
        fops: &["writev"],
        key: "trusted.glusterfs.protect.writes",
        how: How::Answered,
        why: "a client's write to a file that is being moved here: noted on the stub before it is done",
    },
    Row {
        fops: &["writev"],
        key: "glusterfs.avoid.overwrite",
        how: How::Answered,
        why: "a write of DHT's rebalance: EBUSY after such a note",
    },
    Row {
        fops: &["writev", "fallocate"],
        key: "glusterfs.bd.counted",
        how: How::Answered,
        why: "the brick's own, by which quota, caches and changelog hear of copies and merges: changes nothing",
    },
    Row {
        fops: &["fsync"],
        key: "batch-fsync",
        how: How::Meaningless,
        why: "posix gathers such calls to sync once; the brick's flush is shared by all that wait for it anyway",
    },
    Row {
        fops: &["fsync"],
        key: "last-fsync",
        how: How::Above,
        why: "AFR notes by it at once that nothing is under way any more",
    },
    Row {
        fops: &["rchecksum"],
        key: "check-zero-filled",
        how: How::Meaningless,
        why: "posix says in `buf-has-zeroes` whether a block is all zeros, which AFR writes although they are equal, so that bricks use the same space; the blocks of an image are its brick's business",
    },
    Row {
        fops: OWN,
        key: "glusterfs-internal-fop",
        how: How::Meaningless,
        why: "posix lets such a fop use the space that `storage.reserve` keeps free on the file system of the names, where an image has no bytes",
    },
    Row {
        fops: OWN,
        key: "trusted.glusterfs.cs.*",
        how: How::Meaningless,
        why: "for cloudsync, which looks for files that were moved to another store; images never are",
    },
    Row {
        fops: OWN,
        key: "glusterfs.inodelk-*",
        how: How::Above,
        why: "features/locks counts them",
    },
    Row {
        fops: OWN,
        key: "glusterfs.entrylk-count",
        how: How::Above,
        why: "features/locks counts them",
    },
    Row {
        fops: OWN,
        key: "glusterfs.posixlk-count",
        how: How::Above,
        why: "features/locks counts them",
    },
    Row {
        fops: OWN,
        key: "glusterfs.multi-dom-lk-cnt-req",
        how: How::Above,
        why: "features/locks counts them",
    },
    Row {
        fops: OWN,
        key: "lease-id",
        how: How::Above,
        why: "features/leases looks at it",
    },
];

/// The row for a key that came with a fop.
pub(super) fn row(fop: &str, key: &str) -> Option<&'static Row> {
    let is_it = |row: &&Row| match row.key.strip_suffix('*') {
        Some(begin) => key.starts_with(begin),
        None => key == row.key,
    };
    TABLE
        .iter()
        .filter(is_it)
        .find(|row| row.fops.contains(&fop))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as the document has it.
    fn line(row: &Row) -> String {
        let fops = if row.fops == OWN {
            "all".to_owned()
        } else {
            row.fops.join(", ")
        };
        let how = match row.how {
            How::Answered => "answered",
            How::Above => "answered above",
            How::Meaningless => "nothing to do",
        };
        format!("| {fops} | `{}` | {how} | {} |", row.key, row.why)
    }

    #[test]
    fn the_document_has_the_same_table() {
        let text = include_str!("../../../docs/xdata.md");
        let (_, own) = text
            .split_once("## Keys of fops that the brick answers")
            .unwrap();
        let (own, _) = own.split_once("\n## ").unwrap();
        let found: Vec<&str> = own
            .lines()
            .filter(|l| l.starts_with("| "))
            .skip(1)
            .collect();
        let expected: Vec<String> = TABLE.iter().map(line).collect();
        assert_eq!(found, expected, "{}", expected.join("\n"));
    }

    #[test]
    fn keys_are_found_by_fop_and_beginning() {
        assert_eq!(
            row("fsync", "batch-fsync").map(|row| row.how),
            Some(How::Meaningless)
        );
        assert!(row("readv", "batch-fsync").is_none());
        assert!(row("readv", "glusterfs.inodelk-dom-count").is_some());
        assert!(row("writev", "glusterfs.new-wish").is_none());
    }
}
