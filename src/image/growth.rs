use bd_model::ImageKind;

const MIB: u64 = 1 << 20;

/// How large an LV should become when a write needs `need` bytes and it has `have`.
///
/// Growing in steps keeps a sequential copy from resizing once an extent; the last close trims
/// what was too much. Steps are larger on thin LVs, where unused size costs nothing.
pub(crate) fn step(kind: ImageKind, have: u64, need: u64) -> u64 {
    let step = match kind {
        ImageKind::Thin => have.clamp(64 * MIB, 1024 * MIB),
        ImageKind::Thick => (have / 4).clamp(16 * MIB, 256 * MIB),
    };
    need.max(have.saturating_add(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_ten_gibibytes_grows_a_few_times() {
        for (kind, most) in [(ImageKind::Thin, 16), (ImageKind::Thick, 60)] {
            let (mut size, mut steps) = (4 * MIB, 0);
            while size < 10 << 30 {
                size = step(kind, size, size + 1);
                steps += 1;
            }
            assert!(steps <= most, "{kind}: {steps}");
        }
    }

    #[test]
    fn a_far_write_gets_what_it_needs() {
        assert_eq!(step(ImageKind::Thin, 4 * MIB, 1 << 40), 1 << 40);
    }
}
