/// Where LVM puts the first metadata area of a physical volume on hosts with pages of 4 KiB.
pub const STAMP_AT: u64 = 4096;
/// Bytes to be read there: all of a header is in the first 512 of them.
pub const STAMP_LEN: usize = 4096;

/// Bytes of the header of a metadata area.
const HEADER: usize = 512;
/// What tells it, behind its checksum.
const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// Where the flags of the first description of a text are: behind checksum, magic, version, start
/// and size of the area, and offset, size and checksum of the text.
const FLAGS: usize = 4 + 16 + 4 + 8 + 8 + 8 + 8 + 4;
/// LVM neither reads nor writes such an area.
const IGNORED: u32 = 1;

/// What of the bytes at [`STAMP_AT`] of a physical volume changes with each change of its VG's
/// metadata: the header of the metadata area, which says where the text is and what its checksum is
/// (LVM2, lib/format_text/layout.h).
///
/// `None` if there is no area, or one that LVM ignores. LVM writes to all others of a VG at each
/// change, so that any of them tells.
pub fn metadata_stamp(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.get(..HEADER)?;
    let flags = header.get(FLAGS..FLAGS + 4)?.try_into().ok()?;
    let ours = header.get(4..4 + MAGIC.len()) == Some(MAGIC);
    (ours && u32::from_le_bytes(flags) & IGNORED == 0).then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_area_in_use_has_a_stamp() {
        let mut bytes = vec![0; STAMP_LEN];
        assert_eq!(metadata_stamp(&bytes), None);
        bytes[4..20].copy_from_slice(MAGIC);
        assert_eq!(metadata_stamp(&bytes), Some(&bytes[..512]));
        assert_eq!(metadata_stamp(&bytes[..511]), None);
        bytes[60] = 1;
        assert_eq!(metadata_stamp(&bytes), None);
    }
}
