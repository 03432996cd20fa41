/// Where LVM puts the first metadata area of a physical volume on hosts with pages of 4 KiB.
pub const MDA_HEADER_AT: u64 = 4096;
/// Bytes to be read there: all of a header is in the first 512 of them.
pub const MDA_HEADER_LEN: usize = 4096;

/// Bytes of the header of a metadata area.
const HEADER: usize = 512;
/// What tells it, behind its checksum.
const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
/// Where the flags of the first description of a text are: behind checksum, magic, version, start
/// and size of the area, and offset, size and checksum of the text.
const FLAGS: usize = 4 + 16 + 4 + 8 + 8 + 8 + 8 + 4;
/// LVM neither reads nor writes such an area.
const IGNORED: u32 = 1;
/// What LVM's checksums begin with (LVM2, lib/misc/crc.h).
const CHECKSUM_FROM: u32 = 0xf597_a6cf;
/// No text is larger: 64 MiB hold those of a hundred thousand LVs.
const MOST_TEXT: u64 = 64 << 20;
/// No area is larger: it holds two texts. LVM makes those of 1 MiB unless asked for more.
const MOST_AREA: u64 = 1 << 40;

/// What of the bytes at [`MDA_HEADER_AT`] of a physical volume changes with each change of its VG's
/// metadata: the header of the metadata area, which says where the text is and what its checksum is
/// (LVM2, lib/format_text/layout.h).
///
/// `None` if there is no area, or one that LVM ignores. LVM writes to all others of a VG at each
/// change, so that any of them tells.
pub fn mda_header(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.get(..HEADER)?;
    let flags = header.get(FLAGS..FLAGS + 4)?.try_into().ok()?;
    let ours = header.get(4..4 + MAGIC.len()) == Some(MAGIC);
    (ours && u32::from_le_bytes(flags) & IGNORED == 0).then_some(header)
}

/// Where the text of a VG's metadata lies on a physical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The first byte of the area that holds it.
    area: u64,
    /// Bytes of the area, its header included.
    area_len: u64,
    /// Where it begins in the area. Behind the area's end it goes on behind the header.
    offset: u64,
    len: u64,
    checksum: u32,
}

impl TextPlace {
    /// Reads it from a header that [`mda_header`] has found; `None` if it cannot be right.
    pub fn of(header: &[u8]) -> Option<TextPlace> {
        let number = |at: usize| {
            let bytes = header.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        let place = TextPlace {
            area: number(24)?,
            area_len: number(32)?,
            offset: number(40)?,
            len: number(48)?,
            checksum: u32::from_le_bytes(header.get(56..60)?.try_into().ok()?),
        };
        let fits = place.area == MDA_HEADER_AT
            && place.area_len <= MOST_AREA
            && place.len > 0
            && place.len <= MOST_TEXT
            && (HEADER as u64..place.area_len).contains(&place.offset)
            && place.len <= place.area_len - HEADER as u64;
        fits.then_some(place)
    }

    /// The pieces of the physical volume that hold it, in order: first byte and number of bytes. The
    /// second piece is empty unless the text goes around the end of the area.
    pub fn pieces(&self) -> [(u64, u64); 2] {
        let first = self.len.min(self.area_len - self.offset);
        [
            (self.area + self.offset, first),
            (self.area + HEADER as u64, self.len - first),
        ]
    }

    /// Whether another physical volume holds the same text.
    pub fn is_same_text(&self, other: &TextPlace) -> bool {
        (self.len, self.checksum) == (other.len, other.checksum)
    }

    /// The text, if these bytes are it.
    pub fn text(&self, bytes: Vec<u8>) -> Option<String> {
        // LVM's checksum is that of zlib with another beginning, and not inverted.
        let mut hasher = crc32fast::Hasher::new_with_initial(!CHECKSUM_FROM);
        hasher.update(&bytes);
        if !hasher.finalize() != self.checksum {
            return None;
        }
        let text = String::from_utf8(bytes).ok()?;
        Some(text.trim_end_matches('\0').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_area_in_use_has_a_stamp() {
        let mut bytes = vec![0; MDA_HEADER_LEN];
        assert_eq!(mda_header(&bytes), None);
        bytes[4..20].copy_from_slice(MAGIC);
        assert_eq!(mda_header(&bytes), Some(&bytes[..512]));
        assert_eq!(mda_header(&bytes[..511]), None);
        bytes[60] = 1;
        assert_eq!(mda_header(&bytes), None);
    }

    #[test]
    fn a_forged_header_leads_nowhere() {
        let mut header = vec![0; HEADER];
        let mut set =
            |at: usize, number: u64| header[at..at + 8].copy_from_slice(&number.to_le_bytes());
        set(24, MDA_HEADER_AT);
        set(32, u64::MAX);
        set(40, u64::MAX - 1);
        set(48, MOST_TEXT);
        assert_eq!(TextPlace::of(&header), None);
    }
}
