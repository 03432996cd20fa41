use bd_model::{Bytes, SizeError};

/// A size on the command line, as LVM takes it; a bare number is MiB, as it was in the old command.
pub(crate) fn parse_size(text: &str) -> Result<Bytes, SizeError> {
    Bytes::parse_with_unit(text, Bytes::MIB)
}

/// A new size: `SIZE`, `+SIZE` or `-SIZE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resize {
    /// To this size.
    To(Bytes),
    /// Larger by this.
    Grow(Bytes),
    /// Smaller by this.
    Shrink(Bytes),
}

impl Resize {
    /// Reads the text of a command line.
    pub(crate) fn parse(text: &str) -> Result<Resize, SizeError> {
        Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(by), _) => Resize::Grow(parse_size(by)?),
            (_, Some(by)) => Resize::Shrink(parse_size(by)?),
            (None, None) => Resize::To(parse_size(text)?),
        })
    }

    /// The size that an image of `size` gets; `None` if that is below zero or too large.
    pub(crate) fn of(self, size: Bytes) -> Option<Bytes> {
        match self {
            Resize::To(to) => Some(to),
            Resize::Grow(by) => size.0.checked_add(by.0).map(Bytes),
            Resize::Shrink(by) => size.0.checked_sub(by.0).map(Bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_absolute_or_by() {
        let of = |text| Resize::parse(text).unwrap().of(Bytes(4 << 20));
        assert_eq!(of("8"), Some(Bytes(8 << 20)));
        assert_eq!(of("8b"), Some(Bytes(8)));
        assert_eq!(of("+1G"), Some(Bytes((1 << 30) + (4 << 20))));
        assert_eq!(of("-1"), Some(Bytes(3 << 20)));
        assert_eq!(of("-1g"), None);
        for text in ["", "+", "-", "+-1", "x", "1x"] {
            assert!(Resize::parse(text).is_err(), "{text:?}");
        }
    }
}
