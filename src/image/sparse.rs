use blockdev::Span;

use crate::image::{Image, SetStubSize};
use crate::{Failure, Server, WriteAt, Written};

/// Bytes that are looked at together: a small chunk of a thin pool.
const UNIT: u64 = 64 << 10;

impl<A: Clone> Image<A> {
    /// Writes, growing the file if the write ends past its end. Where there is nothing but zeros to
    /// write, blocks are given back rather than taken.
    pub fn write_sparse(
        &self,
        server: &dyn Server,
        offset: u64,
        bytes: &[u8],
        set_stub_size: SetStubSize<'_>,
    ) -> Result<Written, Failure> {
        let end = offset.checked_add(bytes.len() as u64);
        self.grow(
            server,
            end.ok_or(Failure::Errno(libc::EFBIG))?,
            set_stub_size,
        )?;
        for (run, data) in runs(offset, bytes) {
            match data {
                Some(data) => {
                    self.write(server, WriteAt::Offset(run.start), &[data], set_stub_size)?;
                }
                None => self.zero(server, run)?,
            }
        }
        Ok(Written::within(offset, self.size()))
    }
}

/// The runs of zeros, without data, and of other bytes, with them; whole units, as far as they are.
fn runs(offset: u64, bytes: &[u8]) -> Vec<(Span, Option<&[u8]>)> {
    let mut runs: Vec<(Span, bool)> = Vec::new();
    let mut rest = bytes;
    let whole = Span::at(offset, bytes.len() as u64);
    let mut start = whole.start;
    while start < whole.end {
        let end = (start - start % UNIT + UNIT).min(whole.end);
        let (unit, more) = rest.split_at(usize::try_from(end - start).unwrap_or(rest.len()));
        let is_data = unit.iter().any(|byte| *byte != 0);
        match runs.last_mut() {
            Some((run, was_data)) if *was_data == is_data => run.end = end,
            _ => runs.push((Span { start, end }, is_data)),
        }
        (start, rest) = (end, more);
    }
    let mut rest = bytes;
    let cut = |(run, is_data): (Span, bool)| {
        let (data, more) = rest.split_at(usize::try_from(run.len()).unwrap_or(rest.len()));
        rest = more;
        (run, is_data.then_some(data))
    };
    runs.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offset: u64, bytes: &[u8]) -> Vec<(u64, u64, bool)> {
        let found = runs(offset, bytes);
        for (run, data) in &found {
            assert!(data.is_none_or(|data| data.len() as u64 == run.len()));
        }
        let short = found
            .iter()
            .map(|(run, data)| (run.start, run.end, data.is_some()));
        short.collect()
    }

    #[test]
    fn zeros_are_found_by_whole_units() {
        let mut bytes = vec![0; 4 << 16];
        assert_eq!(found(0, &bytes), [(0, 4 << 16, false)]);
        bytes[70_000] = 1;
        let expected = [
            (0, 1 << 16, false),
            (1 << 16, 2 << 16, true),
            (2 << 16, 4 << 16, false),
        ];
        assert_eq!(found(0, &bytes), expected);
        assert_eq!(found(5000, &bytes[..100]), [(5000, 5100, false)]);
        let expected = [
            (65_000, 1 << 16, false),
            (1 << 16, 2 << 16, true),
            (2 << 16, 65_000 + (4 << 16) - 69_000, false),
        ];
        assert_eq!(found(65_000, &bytes[69_000..]), expected);
        assert_eq!(found(9, &[]), []);
    }
}
