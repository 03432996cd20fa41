use std::fmt;

/// Writes the 16 bytes of a gfid in their text form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GfidText(pub [u8; 16]);

impl fmt::Display for GfidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for GfidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_root() {
        let mut gfid = [0; 16];
        gfid[15] = 1;
        assert_eq!(
            GfidText(gfid).to_string(),
            "00000000-0000-0000-0000-000000000001"
        );
    }
}
