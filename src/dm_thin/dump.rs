use std::io::{self, BufRead};

use bd_model::{Bytes, Sectors};

/// Spans of a thin LV that are mapped: the first byte, and the byte behind the last one.
pub type Spans = Vec<(Bytes, Bytes)>;

/// The mapped spans of one thin LV from what thin_dump(8) says of it in XML, in order and joined
/// where they touch.
///
/// After `most` spans everything else counts as mapped.
///
/// # Errors
/// Reading fails, or the text does not say the size of a block.
pub fn mapped_spans(text: impl BufRead, most: usize) -> io::Result<Spans> {
    let mut block = None;
    let mut spans = Spans::new();
    let mut ended = false;
    for line in text.lines() {
        let line = line?;
        let line = line.trim_start();
        if line.starts_with("<superblock ") {
            block = number(line, "data_block_size").and_then(|n| Sectors(n).bytes());
        } else if line.starts_with("</superblock") {
            ended = true;
        }
        let Some((first, count)) = blocks(line) else {
            continue;
        };
        let block = block.ok_or_else(|| broken(line))?.0;
        let start = first.checked_mul(block).ok_or_else(|| broken(line))?;
        let end = count
            .checked_mul(block)
            .and_then(|len| start.checked_add(len));
        let end = end.ok_or_else(|| broken(line))?;
        let is_full = spans.len() == most;
        match spans.last_mut() {
            Some((_, last)) if last.0 == start => last.0 = end,
            Some((_, last)) if is_full => {
                last.0 = u64::MAX;
                return Ok(spans);
            }
            _ => spans.push((Bytes(start), Bytes(end))),
        }
    }
    // Less than all of it must not pass for all of it.
    if ended && block.is_some() {
        Ok(spans)
    } else {
        Err(broken("the end"))
    }
}

/// Chunks of a thin LV that it has from the one it was made of, and did not write itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Where they are, in order and joined where they touch; perhaps not all of them.
    pub spans: Spans,
    /// The bytes of all of them.
    pub bytes: Bytes,
    /// The bytes of a chunk.
    pub chunk: Bytes,
    /// What is mapped at an earlier time of the pool is inherited.
    pub before: u64,
}

/// The inherited chunks of one thin LV from what thin_dump(8) says of it in XML.
///
/// A pool counts a time up with each snapshot, and notes for each chunk when it was mapped: all
/// that is older than the LV was mapped by another one. `before` is a time from an earlier
/// [`Inherited`], which holds even if the LV has become another one since. After `most` spans the
/// rest is counted, but not told.
///
/// # Errors
/// Reading fails, or the text does not say the size of a block, or tells of no LV.
pub fn inherited_spans(
    text: impl BufRead,
    before: Option<u64>,
    most: usize,
) -> io::Result<Inherited> {
    let mut chunk = None;
    let mut before = before;
    let mut is_there = false;
    let mut spans = Spans::new();
    let mut bytes = 0_u64;
    let mut ended = false;
    for line in text.lines() {
        let line = line?;
        let line = line.trim_start();
        if line.starts_with("<superblock ") {
            chunk = number(line, "data_block_size").and_then(|n| Sectors(n).bytes());
        } else if line.starts_with("<device ") {
            let made = number(line, "creation_time").ok_or_else(|| broken(line))?;
            before.get_or_insert(made);
            is_there = true;
        } else if line.starts_with("</superblock") {
            ended = true;
        }
        let Some((first, count)) = blocks(line) else {
            continue;
        };
        let (Some(chunk), Some(before)) = (chunk, before) else {
            return Err(broken(line));
        };
        if number(line, "time").ok_or_else(|| broken(line))? >= before {
            continue;
        }
        let len = count.checked_mul(chunk.0).ok_or_else(|| broken(line))?;
        let start = first.checked_mul(chunk.0).ok_or_else(|| broken(line))?;
        let end = start.checked_add(len).ok_or_else(|| broken(line))?;
        bytes = bytes.saturating_add(len);
        let is_full = spans.len() == most;
        match spans.last_mut() {
            Some((_, last)) if last.0 == start => last.0 = end,
            _ if is_full => {}
            _ => spans.push((Bytes(start), Bytes(end))),
        }
    }
    match (chunk, before) {
        // An LV that is not there any more must not pass for one that has nothing to be done.
        (Some(chunk), Some(before)) if ended && is_there => Ok(Inherited {
            spans,
            bytes: Bytes(bytes),
            chunk,
            before,
        }),
        _ => Err(broken("the end")),
    }
}

/// The first block of a mapping and how many there are.
fn blocks(line: &str) -> Option<(u64, u64)> {
    if line.starts_with("<single_mapping ") {
        Some((number(line, "origin_block")?, 1))
    } else if line.starts_with("<range_mapping ") {
        Some((number(line, "origin_begin")?, number(line, "length")?))
    } else {
        None
    }
}

/// The value of an attribute.
fn number(line: &str, name: &str) -> Option<u64> {
    line.split_ascii_whitespace()
        .filter_map(|word| word.split_once("=\""))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.split_once('"')?.0.parse().ok())
}

fn broken(line: &str) -> io::Error {
    io::Error::other(format!(
        "thin_dump says something else than a mapping: {line:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"<superblock uuid="" time="1" transaction="3" flags="0" version="2" data_block_size="128" nr_data_blocks="1000">
  <device dev_id="1" mapped_blocks="5" transaction="0" creation_time="0" snap_time="1">
    <range_mapping origin_begin="0" data_begin="7" length="2" time="0"/>
    <single_mapping origin_block="2" data_block="3" time="1"/>
    <single_mapping origin_block="16384" data_block="5" time="0"/>
    <single_mapping origin_block="16390" data_block="6" time="0"/>
  </device>
</superblock>
"#;
    const BLOCK: u64 = 64 << 10;

    fn span(first: u64, end: u64) -> (Bytes, Bytes) {
        (Bytes(first * BLOCK), Bytes(end * BLOCK))
    }

    #[test]
    fn mappings_are_joined() {
        let spans = mapped_spans(DUMP.as_bytes(), 100).unwrap();
        assert_eq!(spans, [span(0, 3), span(16384, 16385), span(16390, 16391)]);
    }

    #[test]
    fn what_is_too_much_counts_as_mapped() {
        let spans = mapped_spans(DUMP.as_bytes(), 2).unwrap();
        assert_eq!(spans, [span(0, 3), (Bytes(16384 * BLOCK), Bytes(u64::MAX))]);
    }

    #[test]
    fn what_is_older_than_the_lv_is_inherited() {
        let made = DUMP.replace("creation_time=\"0\"", "creation_time=\"1\"");
        let of = |before, most| inherited_spans(made.as_bytes(), before, most).unwrap();
        let all = Inherited {
            spans: vec![span(0, 2), span(16384, 16385), span(16390, 16391)],
            bytes: Bytes(4 * BLOCK),
            chunk: Bytes(BLOCK),
            before: 1,
        };
        assert_eq!(of(None, 100), all);
        assert_eq!(of(Some(1), 100), all);
        let spans = vec![span(0, 2)];
        assert_eq!(of(None, 1), Inherited { spans, ..all });
        assert_eq!(of(Some(0), 100).bytes, Bytes(0));
        let later = of(Some(2), 100);
        assert_eq!(
            (later.bytes, later.spans[0]),
            (Bytes(5 * BLOCK), span(0, 3))
        );
    }

    #[test]
    fn half_a_dump_is_an_error() {
        let half = &DUMP[..DUMP.len() - 20];
        assert!(mapped_spans(half.as_bytes(), 100).is_err());
        assert!(mapped_spans(&b""[..], 100).is_err());
        assert!(inherited_spans(half.as_bytes(), None, 100).is_err());
        assert!(inherited_spans(&b""[..], Some(1), 100).is_err());
        let (first, last) = (DUMP.lines().next().unwrap(), "</superblock>");
        let gone = format!("{first}\n{last}\n");
        assert!(inherited_spans(gone.as_bytes(), Some(1), 100).is_err());
    }
}
